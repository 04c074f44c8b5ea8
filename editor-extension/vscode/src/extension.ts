// The extension: find the server, start it, show its state. What it can do comes from the server, over LSP.
import * as path from "node:path";

import { commands, type Disposable, type ExtensionContext, type LogOutputChannel, window, workspace } from "vscode";

import { findServer, NoServer } from "./environment.js";
import { install } from "./installer.js";
import { showMenu } from "./menu.js";
import { Server } from "./server.js";
import { enabledLanguages, isEnabled, launchSettings, SECTION, setEnabled } from "./settings.js";
import { Status } from "./status.js";

const REQUIREMENT = "diffill";

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Diffill", { log: true });
  const extension = new Extension(path.join(context.globalStorageUri.fsPath, "environment"), log);
  context.subscriptions.push(log, extension);
  void extension.start(); // activation does not wait for a process
}

class Extension implements Disposable {
  private readonly status = new Status();
  private readonly subscriptions: Disposable[];
  private server: Server | undefined;

  constructor(
    private readonly environment: string,
    private readonly log: LogOutputChannel,
  ) {
    const handlers: Record<string, () => unknown> = {
      showMenu,
      restart: () => this.restart(),
      showLog: () => log.show(),
      install: () => this.install(),
      toggle: () => toggle("*"),
      toggleLanguage: () => toggle(window.activeTextEditor?.document.languageId ?? "*"),
    };
    this.subscriptions = [
      this.status,
      ...Object.entries(handlers).map(([name, handler]) => commands.registerCommand(`diffill.${name}`, handler)),
      window.onDidChangeActiveTextEditor(() => this.showEnabled()),
      workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration(`${SECTION}.command`) || change.affectsConfiguration(`${SECTION}.interpreter`)) {
          void this.restart();
        }
        this.showEnabled();
      }),
      workspace.onDidGrantWorkspaceTrust(() => void this.restart()),
    ];
    this.showEnabled();
  }

  /** Start the server, or say in one place why that cannot be and what to do next. */
  async start(): Promise<void> {
    try {
      const command = await findServer(launchSettings(), this.environment);
      this.log.info(`starting ${command.program} (${command.origin})`);
      this.server = new Server(command, this.log, {
        onStatus: (status) => this.status.update(status),
        onAnswer: (milliseconds) => this.status.showLatency(milliseconds),
        onGivenUp: () => void this.offerLog("Diffill's server stopped again and again, and is left off."),
      });
      await this.server.start();
    } catch (error) {
      await this.explain(error as Error);
    }
  }

  async stop(): Promise<void> {
    await this.server?.stop();
    this.server = undefined;
  }

  dispose(): void {
    void this.stop();
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
  }

  private async restart(): Promise<void> {
    await this.stop();
    this.status.update({ state: "loading", message: "starting" });
    await this.start();
  }

  private async install(): Promise<void> {
    await this.stop();
    if (await install(this.environment, REQUIREMENT, this.log)) {
      await this.restart();
    }
  }

  private async explain(error: Error): Promise<void> {
    this.status.update({ state: "failed", message: error.message });
    if (error instanceof NoServer && error.installable) {
      const choice = await window.showInformationMessage(error.message, "Install", "Choose an Interpreter");
      if (choice === "Install") {
        await this.install();
      } else if (choice !== undefined) {
        await commands.executeCommand("workbench.action.openSettings", `${SECTION}.interpreter`);
      }
    } else {
      await this.offerLog(`Diffill could not start. ${error.message}`);
    }
  }

  private async offerLog(message: string): Promise<void> {
    this.status.update({ state: "failed", message });
    const choice = await window.showWarningMessage(message, "Show Log", "Restart");
    if (choice === "Show Log") {
      this.log.show();
    } else if (choice === "Restart") {
      await this.restart();
    }
  }

  private showEnabled(): void {
    const language = window.activeTextEditor?.document.languageId;
    this.status.showEnabled(language === undefined || isEnabled(enabledLanguages(), language));
  }
}

async function toggle(language: string): Promise<void> {
  await setEnabled(language, !isEnabled(enabledLanguages(), language));
}

// The extension: find the server, start it, show its state. What it can do comes from the server, over LSP.
import * as path from "node:path";

import {
  commands,
  type Disposable,
  type ExtensionContext,
  languages,
  type LogOutputChannel,
  type TextEditor,
  type Uri,
  window,
  workspace,
  type WorkspaceEdit,
} from "vscode";

import { findServer, NoServer } from "./environment.js";
import { showFigures } from "./figures.js";
import { install } from "./installer.js";
import { showMenu } from "./menu.js";
import { NextEdit } from "./nextEdit.js";
import { Patience } from "./patience.js";
import { Preview } from "./preview.js";
import { Repairs } from "./repairs.js";
import { ASK_INSTRUCTION, Server, SHOW_PROPOSAL } from "./server.js";
import { enabledLanguages, isEnabled, launchSettings, SECTION, setEnabled } from "./settings.js";
import { type DocumentStatus, Status } from "./status.js";
import type { Task } from "./task.js";

const REQUIREMENT = "diffill";

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Diffill", { log: true });
  const extension = new Extension(path.join(context.globalStorageUri.fsPath, "environment"), log);
  context.subscriptions.push(log, extension);
  void extension.restart(); // activation does not wait for a process
}

class Extension implements Disposable {
  private readonly status = new Status();
  private readonly preview = new Preview();
  private readonly repairs = new Repairs(() => this.server, this.preview);
  private readonly nextEdit = new NextEdit(() => this.server);
  private readonly patience = new Patience();
  private readonly subscriptions: Disposable[];
  private server: Server | undefined;
  /** The restart under way, or the last one. */
  private restarting: Promise<void> = Promise.resolve();
  /** The restart that waits for it. */
  private waiting: Promise<void> | undefined;

  constructor(
    private readonly environment: string,
    private readonly log: LogOutputChannel,
  ) {
    this.subscriptions = [
      this.status,
      this.preview,
      this.nextEdit,
      ...Object.entries(this.handlers()).map(([name, handler]) => commands.registerCommand(name, handler)),
      window.onDidChangeActiveTextEditor((editor) => this.focus(editor)),
      workspace.onDidChangeConfiguration((change) => {
        if (["command", "interpreter"].some((name) => change.affectsConfiguration(`${SECTION}.${name}`))) {
          void this.restart();
        }
      }),
      languages.onDidChangeDiagnostics(({ uris }) => this.report(uris)),
      workspace.onDidGrantWorkspaceTrust(() => void this.restart()),
    ];
  }

  /** Stop the server if there is one, and start it. Asked for twice at once it is done once: no second server is left. */
  restart(): Promise<void> {
    this.waiting ??= this.restartAfter(this.restarting);
    this.restarting = this.waiting;
    return this.waiting;
  }

  private async restartAfter(earlier: Promise<void>): Promise<void> {
    this.status.update({ state: "loading", message: "starting" });
    await this.stop(); // `earlier` may be waiting for its first answer
    await earlier;
    this.waiting = undefined;
    await this.start();
  }

  /** Start the server, or say in one place why that cannot be and what to do next. */
  private async start(): Promise<void> {
    try {
      const command = await findServer(launchSettings(), this.environment);
      // A server that is being stopped still talks: its "ready" is not that of the next one.
      const ifCurrent =
        <Said>(show: (said: Said) => void) =>
        (said: Said): void => {
          if (this.server === server) {
            show(said);
          }
        };
      if (this.waiting !== undefined) {
        return; // something has changed meanwhile
      }
      this.log.info(`starting ${command.program} (${command.origin})`);
      const server: Server = new Server(command, this.log, {
        onStatus: ifCurrent((status) => this.status.update(status)),
        onDocumentStatus: ifCurrent((status) => this.showDocumentStatus(status)),
        onAnswer: ifCurrent((milliseconds) => this.status.showLatency(milliseconds)),
        onCrash: () => void this.startAgain(),
        onProblem: (message) => void window.showWarningMessage(`Diffill: ${message}`),
      });
      this.server = server;
      await server.start();
      this.focus(window.activeTextEditor);
    } catch (error) {
      if (this.waiting === undefined) {
        void this.explain(error as Error); // a message may stay unanswered for ever
      }
    }
  }

  private async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    await server?.stop();
  }

  dispose(): void {
    void this.stop();
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
  }

  private handlers(): Record<string, (...given: never[]) => unknown> {
    return {
      "diffill.showMenu": showMenu,
      "diffill.showFigures": showFigures,
      "diffill.showLog": () => this.log.show(),
      "diffill.restart": () => this.restart(),
      "diffill.install": () => this.install(),
      "diffill.toggle": () => toggle("*"),
      "diffill.toggleLanguage": () => toggle(window.activeTextEditor?.document.languageId ?? "*"),
      "diffill.fixThis": () => this.repairs.fix(),
      "diffill.rewriteSelection": () => this.repairs.rewrite(),
      "diffill.completeFunction": () => this.repairs.completeBody(),
      "diffill.acceptPreview": () => this.preview.accept(),
      "diffill.discardPreview": () => this.preview.discard(),
      "diffill.goToNextEdit": () => this.nextEdit.go(),
      "diffill.hideNextEdit": () => this.nextEdit.hide(),
      [ASK_INSTRUCTION]: (task: Task) => this.repairs.rewrite(task),
      [SHOW_PROPOSAL]: (title: string, edit: WorkspaceEdit) => this.preview.showEdit(title, edit),
    };
  }

  /** After a crash, as long as there is patience for it. */
  private async startAgain(): Promise<void> {
    const { server } = this;
    const wait = this.patience.afterCrash();
    if (wait === undefined) {
      await this.offerLog("Diffill's server stopped again and again, and is left off.");
      return;
    }
    this.status.update({ state: "loading", message: "the server stopped and is started again" });
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (this.server === server) {
      await this.restart();
    }
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

  private focus(editor: TextEditor | undefined): void {
    this.status.showSilence(undefined);
    if (editor !== undefined) {
      this.server?.focus(editor.document);
    }
  }

  private report(uris: readonly Uri[]): void {
    const changed = new Set(uris.map(String));
    for (const document of workspace.textDocuments.filter(({ uri }) => changed.has(uri.toString()))) {
      void this.server?.report(document).catch(() => undefined); // the server is just going
    }
  }

  private showDocumentStatus({ uri, enabled, message }: DocumentStatus): void {
    if (uri === window.activeTextEditor?.document.uri.toString()) {
      this.status.showSilence(enabled ? undefined : message);
    }
  }
}

async function toggle(language: string): Promise<void> {
  await setEnabled(language, !isEnabled(enabledLanguages(), language));
}

// The language server's process as VS Code sees it: started, watched, restarted with patience.
import type { Disposable, LogOutputChannel } from "vscode";
import {
  CloseAction,
  type CloseHandlerResult,
  ErrorAction,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";

import type { ServerCommand } from "./environment.js";
import { SECTION, serverSettings } from "./settings.js";
import type { ServerStatus } from "./status.js";

const CRASHES = 4;
const WITHIN_MS = 3 * 60_000;

export interface ServerEvents {
  onStatus(status: ServerStatus): void;
  /** Milliseconds from request to answer, for answers that show something. */
  onAnswer(milliseconds: number): void;
  /** It closed too often to go on. Said once. */
  onGivenUp(): void;
}

export class Server implements Disposable {
  private readonly client: LanguageClient;

  constructor(command: ServerCommand, log: LogOutputChannel, events: ServerEvents) {
    const options: LanguageClientOptions = {
      documentSelector: [{ scheme: "*" }, { notebook: "*" }],
      initializationOptions: serverSettings(),
      synchronize: { configurationSection: SECTION },
      outputChannel: log,
      middleware: timing(events.onAnswer),
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: restartWithPatience(events.onGivenUp),
      },
    };
    const executable = { command: command.program, args: [...command.args], options: { env: environment() } };
    this.client = new LanguageClient(SECTION, "Diffill", { run: executable, debug: executable }, options);
    this.client.onNotification("diffill/status", (status: ServerStatus) => events.onStatus(status));
  }

  start(): Promise<void> {
    return this.client.start();
  }

  async stop(): Promise<void> {
    if (this.client.needsStop()) {
      await this.client.stop().catch(() => undefined); // it is gone already
    }
  }

  request<Result>(method: string, params: unknown): Promise<Result> {
    return this.client.sendRequest<Result>(method, params);
  }

  dispose(): void {
    void this.stop();
  }
}

/** Restart after a crash at once, but not for ever: a server that keeps falling is left down. */
function restartWithPatience(onGivenUp: () => void): () => CloseHandlerResult {
  const crashes: number[] = [];
  return () => {
    const now = Date.now();
    crashes.push(now);
    if (crashes.filter((time) => now - time < WITHIN_MS).length < CRASHES) {
      return { action: CloseAction.Restart, handled: true };
    }
    onGivenUp();
    return { action: CloseAction.DoNotRestart, handled: true };
  };
}

function timing(onAnswer: (milliseconds: number) => void): Middleware {
  return {
    async provideInlineCompletionItems(document, position, context, token, next) {
      const began = performance.now();
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : answer?.items;
      if (items?.length && !token.isCancellationRequested) {
        onAnswer(performance.now() - began);
      }
      return answer;
    },
  };
}

/** PYTHONSAFEPATH: the folder that happens to be current must not shadow the server's modules. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PYTHONSAFEPATH: "1", PYTHONUTF8: "1" };
}

// The language server's process as VS Code sees it: started, watched, restarted with patience.
import {
  type Disposable,
  languages,
  type LogOutputChannel,
  type Position,
  type TextDocument,
  type TextEdit,
  window,
} from "vscode";
import {
  type ClientCapabilities,
  CloseAction,
  type CloseHandlerResult,
  CodeActionResolveRequest,
  ErrorAction,
  InlineCompletionRequest,
  LanguageClient,
  type LanguageClientOptions,
  LSPErrorCodes,
  type Middleware,
  type Range,
  ResponseError,
  type StaticFeature,
} from "vscode-languageclient/node";

import type { ServerCommand } from "./environment.js";
import { SECTION, serverSettings } from "./settings.js";
import type { DocumentStatus, ServerStatus } from "./status.js";
import type { Task } from "./task.js";

const SCHEMES = ["file", "untitled", "vscode-remote", "vscode-vfs", "vscode-notebook-cell"];
/** Diagnostics of a document that the server is told. */
const MAX_REPORTED = 200;
/** Commands of ours that the server may name in a code action. */
export const ASK_INSTRUCTION = "diffill.askInstruction";
/** Shows edits that nothing has verified, in place of applying them. */
export const SHOW_PROPOSAL = "diffill.showProposal";

export interface ServerEvents {
  onStatus(status: ServerStatus): void;
  onDocumentStatus(status: DocumentStatus): void;
  /** Milliseconds from request to answer, for answers that show something. */
  onAnswer(milliseconds: number): void;
  /** It stopped although nobody had asked it to, after it had started well. */
  onCrash(): void;
  /** What a person asked for could not be done; one line to show. */
  onProblem(message: string): void;
}

/** What the server worked out for one document. */
export interface Found {
  readonly title: string;
  readonly edits: readonly TextEdit[];
  /** A tool confirmed it: it may be applied without being looked at. */
  readonly verified: boolean;
}

export class Server implements Disposable {
  private readonly client: LanguageClient;
  private hasStarted = false;

  constructor(
    command: ServerCommand,
    log: LogOutputChannel,
    private readonly events: ServerEvents,
  ) {
    const options: LanguageClientOptions = {
      documentSelector: [...SCHEMES.map((scheme) => ({ scheme })), { notebook: "*" }],
      initializationOptions: serverSettings(),
      synchronize: { configurationSection: SECTION },
      outputChannel: log,
      middleware: { ...timing(events.onAnswer), ...sayingIndentation, resolveCodeAction: previewUnverified },
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => this.closed(),
      },
      initializationFailedHandler: () => false, // `start` rejects, and that is told once
    };
    const executable = { command: command.program, args: [...command.args], options: { env: environment() } };
    this.client = new QuietClient(SECTION, "Diffill", { run: executable, debug: executable }, options);
    this.client.registerFeature(OWN_COMMANDS);
    this.client.onNotification("diffill/status", (status: ServerStatus) => events.onStatus(status));
    this.client.onNotification("diffill/documentStatus", (status: DocumentStatus) => events.onDocumentStatus(status));
  }

  /** @throws Error when it does not come up. */
  async start(): Promise<void> {
    await this.client.start();
    this.hasStarted = true;
  }

  /** Also while it starts. */
  async stop(): Promise<void> {
    const process = this.client.serverProcess;
    if (this.client.needsStop()) {
      await this.client.stop().catch(() => process?.kill()); // it is gone already, or has not answered yet
    }
  }

  /** Tell the server which document is looked at; it answers with that document's status. */
  focus(document: TextDocument): void {
    if (this.client.isRunning() && SCHEMES.includes(document.uri.scheme)) {
      const textDocument = { uri: document.uri.toString() };
      void this.client.sendNotification("textDocument/didFocus", { textDocument });
    }
  }

  /** Tell the server what all tools report about a document: it looks whether a repair that was applied has helped. */
  async report(document: TextDocument): Promise<void> {
    if (this.client.isRunning() && SCHEMES.includes(document.uri.scheme)) {
      const reported = languages.getDiagnostics(document.uri).slice(0, MAX_REPORTED);
      const diagnostics = await this.client.code2ProtocolConverter.asDiagnostics(reported);
      await this.client.sendNotification("diffill/diagnostics", { uri: document.uri.toString(), diagnostics });
    }
  }

  /** Have a task worked out, with the server's progress bar; undefined when nothing safe was found. */
  async resolve(task: Task): Promise<Found | undefined> {
    try {
      const range = this.client.code2ProtocolConverter.asRange(task.range);
      const asked = { title: "", data: { ...task, range } };
      const { edit, isPreferred } = await this.client.sendRequest(CodeActionResolveRequest.type, asked);
      const converted = await this.client.protocol2CodeConverter.asWorkspaceEdit(edit);
      const [entry] = converted?.entries() ?? [];
      return entry && { title: titleOf(task), edits: entry[1], verified: isPreferred === true };
    } catch (error) {
      if (!(error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled)) {
        this.events.onProblem((error as Error).message);
      }
      return undefined;
    }
  }

  /** Where the change that was just made is due as well; nothing when the server has no time for it. */
  async nextEdits(document: TextDocument, position: Position): Promise<TextEdit[]> {
    if (!this.client.isRunning() || !SCHEMES.includes(document.uri.scheme)) {
      return [];
    }
    const textDocument = { uri: document.uri.toString(), version: document.version };
    try {
      const params = { textDocument, position: this.client.code2ProtocolConverter.asPosition(position) };
      const answer = await this.client.sendRequest<{ edits: { range: Range; text: string }[] }>("diffill/nextEdit", params);
      const edits = answer.edits.map(({ range, text }) => ({ range, newText: text }));
      return await this.client.protocol2CodeConverter.asTextEdits(edits);
    } catch {
      return []; // nobody asked for it
    }
  }

  dispose(): void {
    void this.stop();
  }

  private closed(): CloseHandlerResult {
    if (this.hasStarted) {
      this.events.onCrash();
    }
    return { action: CloseAction.DoNotRestart, handled: true, message: "The server stopped." };
  }
}

/** Its errors go to the log alone: the extension tells the person, once and with what to do next. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** Tells the server that its actions may ask the person for an instruction. */
const OWN_COMMANDS: StaticFeature = {
  fillClientCapabilities(capabilities: ClientCapabilities): void {
    capabilities.experimental = { ...capabilities.experimental, commands: { commands: [ASK_INSTRUCTION] } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

/** From the light bulb: what no tool has confirmed is shown before it is applied. */
const previewUnverified: NonNullable<Middleware["resolveCodeAction"]> = async (item, token, next) => {
  const resolved = await next(item, token);
  if (resolved?.edit === undefined || resolved.isPreferred === true) {
    return resolved;
  }
  const { edit, ...rest } = resolved;
  const show = { title: resolved.title, command: SHOW_PROPOSAL, arguments: [resolved.title, edit] };
  return { ...rest, command: show };
};

/** How the editor indents, for a file that does not tell: the specification has no place for it. */
const sayingIndentation: Middleware = {
  sendRequest(type, param, token, next) {
    const editor = window.activeTextEditor;
    if ((typeof type === "string" ? type : type.method) !== InlineCompletionRequest.method || editor === undefined) {
      return next(type, param, token);
    }
    const { tabSize, insertSpaces } = editor.options;
    return next(type, { ...param, formattingOptions: { tabSize, insertSpaces } } as typeof param, token);
  },
};

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

function titleOf(task: Task): string {
  const words = { fix: `Fix: ${task.message}`, rewrite: `Rewrite: ${task.instruction}`, completeBody: "Complete the body" };
  return words[task.kind];
}

/** PYTHONSAFEPATH: the folder that happens to be current must not shadow the server's modules. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PYTHONSAFEPATH: "1", PYTHONUTF8: "1" };
}

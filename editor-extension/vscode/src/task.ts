// What the server is asked to work out, in its own terms, and what it answers.
import { type Diagnostic, type Range, type TextDocument, type TextEdit } from "vscode";

export type TaskKind = "fix" | "rewrite" | "completeBody";

/** `data` of the server's code actions. */
export interface Task {
  readonly kind: TaskKind;
  readonly uri: string;
  readonly version: number;
  readonly range: Range;
  readonly code?: string;
  readonly message?: string;
  readonly source?: string;
  readonly instruction?: string;
}

/** Edits of one document, for the version that they were worked out on. */
export interface Proposal {
  readonly title: string;
  readonly document: TextDocument;
  readonly version: number;
  readonly edits: readonly TextEdit[];
}

export function taskOf(kind: TaskKind, document: TextDocument, range: Range): Task {
  return { kind, uri: document.uri.toString(), version: document.version, range };
}

export function fixTask(document: TextDocument, diagnostic: Diagnostic): Task {
  const code = typeof diagnostic.code === "object" ? diagnostic.code.value : diagnostic.code;
  return {
    ...taskOf("fix", document, diagnostic.range),
    code: String(code ?? ""),
    message: diagnostic.message,
    source: diagnostic.source ?? "",
  };
}

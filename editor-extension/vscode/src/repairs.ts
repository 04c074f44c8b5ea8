// `Fix this`, rewrites and bodies, as a person asks for them: checked fixes are applied, all else is shown first.
import { type Diagnostic, languages, type TextEditor, window } from "vscode";

import { apply, type Preview } from "./preview.js";
import type { Server } from "./server.js";
import { fixTask, type Task, taskOf } from "./task.js";

export class Repairs {
  constructor(
    private readonly server: () => Server | undefined,
    private readonly preview: Preview,
  ) {}

  /** Repair the problem at the cursor. */
  async fix(): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor === undefined) {
      return;
    }
    const diagnostic = diagnosticAt(editor);
    if (diagnostic === undefined) {
      void window.showInformationMessage("Diffill: no problem is reported on this line.");
    } else {
      await this.work(editor, fixTask(editor.document, diagnostic));
    }
  }

  /** Ask what is wanted, and show the selection, or what is around the cursor, rewritten so. */
  async rewrite(given?: Task): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor === undefined) {
      return;
    }
    const task = given ?? taskOf("rewrite", editor.document, editor.selection);
    const instruction = await window.showInputBox({
      title: "Diffill: Rewrite",
      prompt: "What should this code do instead?",
      placeHolder: "for example: return None when the list is empty",
      ignoreFocusOut: true,
    });
    if (instruction !== undefined) {
      await this.work(editor, { ...task, instruction: instruction.trim() });
    }
  }

  /** Write the body of the function at the cursor. */
  async completeBody(): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor !== undefined) {
      await this.work(editor, taskOf("completeBody", editor.document, editor.selection));
    }
  }

  private async work(editor: TextEditor, task: Task): Promise<void> {
    const server = this.server();
    if (server === undefined) {
      void window.showWarningMessage("Diffill: the server is not running. Choose `Diffill: Restart Server`.");
      return;
    }
    const found = await server.resolve(task); // the server itself says so when there is none
    if (found === undefined) {
      return;
    }
    const { document } = editor;
    const proposal = { title: found.title, document, version: task.version, edits: found.edits };
    await (found.verified && task.kind === "fix" ? apply(proposal) : this.preview.show(proposal));
  }
}

/** The problem that the cursor is in, else the first one on its line. */
function diagnosticAt(editor: TextEditor): Diagnostic | undefined {
  const { active } = editor.selection;
  const onLine = languages
    .getDiagnostics(editor.document.uri)
    .filter(({ range }) => range.start.line <= active.line && active.line <= range.end.line);
  return onLine.find(({ range }) => range.contains(active)) ?? onLine[0];
}

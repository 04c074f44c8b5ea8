// The change just made, where else it is due: drawn in place, one key to go there and one to take it.
import {
  commands,
  type Disposable,
  Range,
  Selection,
  type TextDocumentChangeEvent,
  type TextEdit,
  type TextEditor,
  type TextEditorDecorationType,
  ThemeColor,
  window,
  workspace,
} from "vscode";

import type { Server } from "./server.js";
import { SECTION } from "./settings.js";

const VISIBLE = "diffill.nextEditVisible";
const PAUSE_MS = 700;

interface Place {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export class NextEdit implements Disposable {
  private readonly old: TextEditorDecorationType;
  private readonly subscriptions: Disposable[];
  private timer: NodeJS.Timeout | undefined;
  private editor: TextEditor | undefined;
  /** Offsets into the document of `editor`, the next one first. */
  private places: readonly Place[] = [];
  private isApplying = false;
  private steps: Promise<void> = Promise.resolve();

  constructor(private readonly server: () => Server | undefined) {
    this.old = window.createTextEditorDecorationType({
      backgroundColor: new ThemeColor("diffEditor.removedTextBackground"),
      textDecoration: "line-through",
    });
    this.subscriptions = [
      this.old,
      workspace.onDidChangeTextDocument((change) => this.edited(change)),
      window.onDidChangeActiveTextEditor(() => this.hide()),
    ];
  }

  /** Go to the next place; there, make the change and turn to the one after. One key after the other, however fast. */
  go(): Promise<void> {
    this.steps = this.steps.then(() => this.step());
    return this.steps;
  }

  hide(): void {
    clearTimeout(this.timer);
    if (this.editor !== undefined) {
      this.show(this.editor, []);
    }
  }

  dispose(): void {
    this.hide();
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
  }

  private async step(): Promise<void> {
    const { editor } = this;
    const [place] = this.places;
    if (editor === undefined || place === undefined) {
      return;
    }
    const { document } = editor;
    const range = rangeOf(editor, place);
    if (!range.contains(editor.selection.active)) {
      editor.selection = new Selection(range.start, range.start);
      editor.revealRange(range);
      return;
    }
    const before = document.getText().length;
    this.isApplying = true;
    const applied = await editor.edit((builder) => builder.replace(range, place.text));
    this.isApplying = false;
    const grown = document.getText().length - before; // not the length of the text: the editor sets the line ends
    const rest = applied ? this.places.slice(1) : [];
    this.show(
      editor,
      rest.map((other) =>
        other.start < place.end ? other : { ...other, start: other.start + grown, end: other.end + grown },
      ),
    );
  }

  private edited({ document, contentChanges }: TextDocumentChangeEvent): void {
    const editor = window.activeTextEditor;
    if (this.isApplying || contentChanges.length === 0 || editor?.document !== document) {
      return;
    }
    this.hide();
    if (workspace.getConfiguration(SECTION, document).get("nextEdit") === true) {
      this.timer = setTimeout(() => void this.ask(editor), PAUSE_MS);
    }
  }

  private async ask(editor: TextEditor): Promise<void> {
    const { document } = editor;
    const { version } = document;
    const edits = await this.server()?.nextEdits(document, editor.selection.active);
    if (edits !== undefined && document.version === version && window.activeTextEditor === editor) {
      const places = edits.map((edit) => placeOf(editor, edit));
      this.show(editor, places.filter(({ start, end, text }) => document.getText().slice(start, end) !== text));
    }
  }

  private show(editor: TextEditor, places: readonly Place[]): void {
    this.editor = places.length > 0 ? editor : undefined;
    this.places = places;
    editor.setDecorations(
      this.old,
      places.map((place, index) => ({
        range: rangeOf(editor, place),
        renderOptions: {
          after: {
            contentText: ` ${place.text.replaceAll("\n", "⏎")}${index === 0 ? "  (Alt+Enter)" : ""}`,
            color: new ThemeColor("editorGhostText.foreground"),
            fontStyle: "italic",
          },
        },
      })),
    );
    void commands.executeCommand("setContext", VISIBLE, places.length > 0);
  }
}

function placeOf({ document }: TextEditor, { range, newText }: TextEdit): Place {
  return { start: document.offsetAt(range.start), end: document.offsetAt(range.end), text: newText };
}

function rangeOf({ document }: TextEditor, { start, end }: Place): Range {
  return new Range(document.positionAt(start), document.positionAt(end));
}

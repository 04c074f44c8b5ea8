// A proposal beside the text as it is: accepted in one step that one undo takes back, or discarded.
import {
  commands,
  type Disposable,
  EventEmitter,
  type Tab,
  TabInputTextDiff,
  type TextDocument,
  type TextDocumentContentProvider,
  type TextEdit,
  Uri,
  ViewColumn,
  window,
  workspace,
  WorkspaceEdit,
} from "vscode";

import type { Proposal } from "./task.js";

export const PREVIEW_SCHEME = "diffill-preview";
const VISIBLE = "diffill.previewVisible";

export class Preview implements TextDocumentContentProvider, Disposable {
  private readonly changed = new EventEmitter<Uri>();
  readonly onDidChange = this.changed.event;
  private readonly subscriptions: Disposable[];
  private shown: { readonly uri: Uri; readonly proposal: Proposal } | undefined;
  private count = 0;

  constructor() {
    this.subscriptions = [
      this.changed,
      workspace.registerTextDocumentContentProvider(PREVIEW_SCHEME, this),
      window.tabGroups.onDidChangeTabs(() => this.forgetWhenClosed()),
    ];
  }

  provideTextDocumentContent(uri: Uri): string {
    const proposal = this.shown?.proposal;
    return proposal !== undefined && uri.toString() === this.shown?.uri.toString()
      ? textAfter(proposal.document, proposal.edits)
      : "";
  }

  /** Show what a proposal would change; it stays until it is accepted, discarded or closed. */
  async show(proposal: Proposal): Promise<void> {
    await this.discard();
    const { document, title } = proposal;
    // The query makes every preview a document of its own: VS Code keeps the text of closed ones for a while.
    const uri = document.uri.with({ scheme: PREVIEW_SCHEME, query: String(++this.count) });
    this.shown = { uri, proposal };
    await commands.executeCommand("setContext", VISIBLE, true);
    const label = `${title} (Ctrl+Enter accepts, Escape discards)`;
    await commands.executeCommand("vscode.diff", document.uri, uri, label, {
      preview: true,
      viewColumn: ViewColumn.Active,
    });
  }

  /** Show an edit of one document, or hand one of several to the editor's own preview. */
  async showEdit(title: string, edit: WorkspaceEdit): Promise<void> {
    const [entry, ...others] = edit.entries();
    const document = workspace.textDocuments.find(({ uri }) => uri.toString() === entry?.[0].toString());
    if (entry === undefined || document === undefined || others.length > 0) {
      await workspace.applyEdit(edit);
    } else {
      await this.show({ title, document, version: document.version, edits: entry[1] });
    }
  }

  async accept(): Promise<void> {
    const proposal = this.shown?.proposal;
    if (proposal !== undefined) {
      await this.discard();
      await apply(proposal);
    }
  }

  async discard(): Promise<void> {
    const uri = this.shown?.uri.toString();
    this.shown = undefined;
    await commands.executeCommand("setContext", VISIBLE, false);
    const tabs = previewTabs().filter((tab) => (tab.input as TabInputTextDiff).modified.toString() === uri);
    await window.tabGroups.close(tabs);
  }

  dispose(): void {
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
  }

  private forgetWhenClosed(): void {
    const uri = this.shown?.uri.toString();
    const isOpen = previewTabs().some((tab) => (tab.input as TabInputTextDiff).modified.toString() === uri);
    void commands.executeCommand("setContext", VISIBLE, isOpen);
  }
}

/** Apply a proposal as one step of undo, unless the text moved on meanwhile. Returns whether it was applied. */
export async function apply(proposal: Proposal): Promise<boolean> {
  const { document, version, edits } = proposal;
  if (document.isClosed || document.version !== version) {
    void window.showWarningMessage("Diffill: the text has changed since this was worked out; nothing was done. Ask again.");
    return false;
  }
  const edit = new WorkspaceEdit();
  edit.set(document.uri, [...edits]);
  const applied = await workspace.applyEdit(edit);
  if (!applied) {
    void window.showWarningMessage("Diffill: the editor refused the change. Is the file read-only?");
  }
  return applied;
}

/** The text with the edits made, which do not overlap. */
function textAfter(document: TextDocument, edits: readonly TextEdit[]): string {
  let text = document.getText();
  for (const edit of [...edits].sort((one, other) => other.range.start.compareTo(one.range.start))) {
    const [start, end] = [document.offsetAt(edit.range.start), document.offsetAt(edit.range.end)];
    text = text.slice(0, start) + edit.newText + text.slice(end);
  }
  return text;
}

function previewTabs(): readonly Tab[] {
  const tabs = window.tabGroups.all.flatMap((group) => group.tabs);
  return tabs.filter((tab) => tab.input instanceof TabInputTextDiff && tab.input.modified.scheme === PREVIEW_SCHEME);
}

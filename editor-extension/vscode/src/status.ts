// One item in the status bar: what state Diffill is in, why, and how long the last completion took.
import { type Disposable, MarkdownString, StatusBarAlignment, type StatusBarItem, ThemeColor, window } from "vscode";

/** `diffill/status`, as the server sends it. */
export interface ServerStatus {
  readonly state: "loading" | "ready" | "busy" | "disabled" | "failed";
  readonly percentage?: number;
  readonly message?: string;
}

const ICONS: Record<ServerStatus["state"], string> = {
  loading: "$(loading~spin)",
  ready: "$(sparkle)",
  busy: "$(sync~spin)",
  disabled: "$(circle-slash)",
  failed: "$(warning)",
};

export class Status implements Disposable {
  private readonly item: StatusBarItem;
  private server: ServerStatus = { state: "loading", message: "starting" };
  private enabledHere = true;
  private latency: number | undefined;

  constructor() {
    this.item = window.createStatusBarItem("diffill.status", StatusBarAlignment.Right, 100);
    this.item.name = "Diffill";
    this.item.command = "diffill.showMenu";
    this.draw();
    this.item.show();
  }

  update(server: ServerStatus): void {
    this.server = server;
    this.draw();
  }

  /** Whether completions are on for the language of the editor in front. */
  showEnabled(enabled: boolean): void {
    this.enabledHere = enabled;
    this.draw();
  }

  /** How long the last answered request took, in milliseconds. */
  showLatency(milliseconds: number): void {
    this.latency = milliseconds;
    this.draw();
  }

  dispose(): void {
    this.item.dispose();
  }

  private draw(): void {
    const state = this.server.state === "ready" && !this.enabledHere ? "disabled" : this.server.state;
    const percentage = state === "loading" && this.server.percentage ? ` ${this.server.percentage} %` : "";
    this.item.text = `${ICONS[state]} Diffill${percentage}`;
    this.item.accessibilityInformation = { label: `Diffill, ${state}` };
    this.item.backgroundColor = state === "failed" ? new ThemeColor("statusBarItem.warningBackground") : undefined;
    const lines = [`**Diffill**: ${state === "disabled" ? "off for this language" : state}`];
    if (this.server.message) {
      lines.push(this.server.message);
    }
    if (this.latency !== undefined) {
      lines.push(`last completion in ${Math.round(this.latency)} ms`);
    }
    this.item.tooltip = new MarkdownString(lines.join("\n\n"));
  }
}

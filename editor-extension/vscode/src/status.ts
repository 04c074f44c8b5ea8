// One item in the status bar: what state Diffill is in, why, and how long the last completion took.
import { type Disposable, MarkdownString, StatusBarAlignment, type StatusBarItem, ThemeColor, window } from "vscode";

/** `diffill/status`, as the server sends it. */
export interface ServerStatus {
  readonly state: "loading" | "ready" | "busy" | "disabled" | "failed";
  readonly percentage?: number;
  readonly message?: string;
}

/** `diffill/documentStatus`: whether anything is offered in a document, and if not, why. */
export interface DocumentStatus {
  readonly uri: string;
  readonly enabled: boolean;
  readonly message: string;
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
  private silence: string | undefined;
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

  /** Why nothing is offered in the editor in front; undefined when something is. */
  showSilence(reason: string | undefined): void {
    this.silence = reason;
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
    const silent = this.server.state === "ready" && this.silence !== undefined;
    const state = silent ? "disabled" : this.server.state;
    const message = silent ? this.silence : this.server.message;
    const latency = this.latency === undefined ? "" : `${Math.round(this.latency)} ms`;
    const detail = state === "loading" ? percent(this.server.percentage) : state === "ready" ? latency : "";
    this.item.text = `${ICONS[state]} Diffill ${detail}`.trimEnd();
    this.item.accessibilityInformation = { label: `Diffill, ${state}${state === "failed" ? `: ${message}` : ""}` };
    this.item.backgroundColor = state === "failed" ? new ThemeColor("statusBarItem.warningBackground") : undefined;
    const lines = [`**Diffill**: ${state}`, message, latency && `last completion in ${latency}`];
    this.item.tooltip = new MarkdownString(lines.filter(Boolean).join("\n\n"));
  }
}

function percent(percentage: number | undefined): string {
  return percentage ? `${percentage} %` : "";
}

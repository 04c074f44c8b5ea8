// Acceptance on this machine, in one line.
import { commands, window } from "vscode";

/** The part that is shown of what `diffill stats --json` prints. Rates are null where there were no requests. */
interface Figures {
  readonly requests: number;
  readonly accepted: number;
  readonly acceptance_rate: number | null;
  readonly accepted_characters: number;
  readonly days: number;
}

export async function showFigures(): Promise<void> {
  const figures = await commands.executeCommand<Figures>("diffill.stats");
  const rate = figures.acceptance_rate === null ? "" : ` (${Math.round(100 * figures.acceptance_rate)} % of those shown)`;
  const line =
    `In ${Math.ceil(figures.days)} days: ${figures.accepted} completions accepted${rate}, ` +
    `${figures.accepted_characters} characters. \`diffill stats\` has more; nothing leaves this machine.`;
  void window.showInformationMessage(figures.requests === 0 ? "Diffill: nothing was recorded yet." : line);
}

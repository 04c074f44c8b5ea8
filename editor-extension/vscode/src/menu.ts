// What a click on the status bar offers.
import { commands, type QuickPickItem, window } from "vscode";

import { enabledLanguages, isEnabled } from "./settings.js";

const SNOOZE_MINUTES = 30;

interface Choice extends QuickPickItem {
  readonly run: string;
  readonly argument?: unknown;
}

export async function showMenu(): Promise<void> {
  const choice = await window.showQuickPick(choices(), { title: "Diffill" });
  if (choice !== undefined) {
    await commands.executeCommand(choice.run, choice.argument);
  }
}

function choices(): Choice[] {
  const language = window.activeTextEditor?.document.languageId;
  const languages = enabledLanguages();
  const all = isEnabled(languages, "*") ? "$(circle-slash) Turn completions off" : "$(check) Turn completions on";
  const found: Choice[] = [{ label: all, run: "diffill.toggle" }];
  if (language !== undefined) {
    const verb = isEnabled(languages, language) ? "$(circle-slash) Turn off" : "$(check) Turn on";
    found.push({ label: `${verb} for ${language}`, run: "diffill.toggleLanguage" });
  }
  const snooze = { minutes: SNOOZE_MINUTES };
  return [
    ...found,
    { label: `$(clock) Keep quiet for ${SNOOZE_MINUTES} minutes`, run: "diffill.snooze", argument: snooze },
    { label: "$(bell) Speak again", run: "diffill.snooze", argument: { minutes: 0 } },
    { label: "$(graph) Show what was accepted", run: "diffill.showFigures" },
    { label: "$(refresh) Restart the server", run: "diffill.restart" },
    { label: "$(output) Show the log", run: "diffill.showLog" },
  ];
}

// What a click on the status bar offers.
import { commands, type QuickPickItem, window } from "vscode";

import { enabledLanguages, isEnabled } from "./settings.js";

interface Choice extends QuickPickItem {
  readonly run: string;
}

export async function showMenu(): Promise<void> {
  const language = window.activeTextEditor?.document.languageId;
  const languages = enabledLanguages();
  const everywhere = isEnabled(languages, "*");
  const choices: Choice[] = [
    { label: everywhere ? "$(circle-slash) Turn completions off" : "$(check) Turn completions on", run: "diffill.toggle" },
  ];
  if (language !== undefined) {
    const verb = isEnabled(languages, language) ? "$(circle-slash) Turn off" : "$(check) Turn on";
    choices.push({ label: `${verb} for ${language}`, run: "diffill.toggleLanguage" });
  }
  choices.push(
    { label: "$(refresh) Restart the server", run: "diffill.restart" },
    { label: "$(output) Show the log", run: "diffill.showLog" },
  );
  const choice = await window.showQuickPick(choices, { title: "Diffill" });
  if (choice !== undefined) {
    await commands.executeCommand(choice.run);
  }
}

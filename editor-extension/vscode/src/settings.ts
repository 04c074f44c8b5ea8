// What the person has set, typed. The server checks the settings that it is sent; these are the extension's own.
import { workspace } from "vscode";

export const SECTION = "diffill";

export interface LaunchSettings {
  /** The whole command line; empty when the person has set none. */
  readonly command: readonly string[];
  /** A Python with `diffill` in it; empty when the person has set none. */
  readonly interpreter: string;
}

export function launchSettings(): LaunchSettings {
  const section = workspace.getConfiguration(SECTION);
  const command: unknown = section.get("command");
  const interpreter: unknown = section.get("interpreter");
  return {
    command: Array.isArray(command) ? command.filter((part) => typeof part === "string") : [],
    interpreter: typeof interpreter === "string" ? interpreter.trim() : "",
  };
}

/** Language ids with true or false; `*` stands for every language not named. */
export type EnabledLanguages = Readonly<Record<string, boolean>>;

export function enabledLanguages(): EnabledLanguages {
  const languages: unknown = workspace.getConfiguration(SECTION).get("enable");
  return typeof languages === "object" && languages !== null ? (languages as EnabledLanguages) : { "*": true };
}

export function isEnabled(languages: EnabledLanguages, language: string): boolean {
  return languages[language] ?? languages["*"] ?? true;
}

/** Store that `language` is on or off, for this person. */
export async function setEnabled(language: string, enabled: boolean): Promise<void> {
  const languages = { ...enabledLanguages(), [language]: enabled };
  await workspace.getConfiguration(SECTION).update("enable", languages, true);
}

/** The whole section, as `initializationOptions`; the server knows which settings are not for it. */
export function serverSettings(): unknown {
  return workspace.getConfiguration().get(SECTION);
}

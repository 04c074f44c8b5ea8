// Where the server is found: what the person set, what `diffill setup vscode` noted, the environment made here, PATH.
import { execFile } from "node:child_process";
import { access, constants, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";

import type { LaunchSettings } from "./settings.js";

const run = promisify(execFile);
const WINDOWS = process.platform === "win32";
const PROBE_MS = 20_000;

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Where it comes from, in words for the person. */
  readonly origin: string;
}

/** Why no server can be started, and what to do next. */
export class NoServer extends Error {
  constructor(
    message: string,
    readonly installable: boolean,
  ) {
    super(message);
  }
}

/**
 * The command that starts the server.
 *
 * @param made directory of the environment that this extension makes.
 * @throws NoServer when there is none, or when what the person set does not work.
 */
export async function findServer(settings: LaunchSettings, made: string): Promise<ServerCommand> {
  const [program, ...args] = settings.command;
  if (program !== undefined) {
    return { program, args, origin: "diffill.command" };
  }
  if (settings.interpreter !== "") {
    const problem = await problemOf(settings.interpreter);
    if (problem !== undefined) {
      throw new NoServer(`diffill.interpreter: ${problem}`, false);
    }
    return moduleCommand(settings.interpreter, "diffill.interpreter");
  }
  const noted = await notedPython();
  if (noted !== undefined && (await isExecutable(noted))) {
    return moduleCommand(noted, "diffill setup vscode");
  }
  const python = pythonOf(made);
  if (await isExecutable(python)) {
    return moduleCommand(python, "the extension's own environment");
  }
  const found = await onPath("diffill");
  if (found !== undefined) {
    return { program: found, args: ["lsp"], origin: "PATH" };
  }
  throw new NoServer("The Diffill server is not installed: no `diffill` on PATH.", true);
}

/** The Python that `diffill setup vscode` wrote down. */
async function notedPython(): Promise<string | undefined> {
  const note = path.join(userData(), "diffill", "interpreter");
  return readFile(note, "utf8").then(
    (text) => text.trim() || undefined,
    () => undefined,
  );
}

/** Where programs of this person keep their data, as Python's platformdirs has it. */
function userData(): string {
  if (WINDOWS) {
    return process.env["LOCALAPPDATA"] ?? path.join(homedir(), "AppData", "Local");
  }
  const usual = process.platform === "darwin" ? ["Library", "Application Support"] : [".local", "share"];
  return (process.platform !== "darwin" && process.env["XDG_DATA_HOME"]) || path.join(homedir(), ...usual);
}

/** The Python of a virtual environment. */
export function pythonOf(environment: string): string {
  return WINDOWS ? path.join(environment, "Scripts", "python.exe") : path.join(environment, "bin", "python");
}

/** The first `name` on PATH that can be run. */
export async function onPath(name: string): Promise<string | undefined> {
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const candidate = path.join(directory, WINDOWS ? `${name}.exe` : name);
    if (directory !== "" && (await isExecutable(candidate))) {
      return candidate;
    }
  }
  return undefined;
}

function moduleCommand(python: string, origin: string): ServerCommand {
  return { program: python, args: ["-m", "diffill.lsp_server"], origin };
}

async function problemOf(python: string): Promise<string | undefined> {
  try {
    await run(python, ["-c", "import sys, diffill.lsp_server; sys.exit(sys.version_info < (3, 10))"], {
      timeout: PROBE_MS,
    });
    return undefined;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT" || code === "EACCES") {
      return `${python} is not there or cannot be run.`;
    }
    return stderr?.includes("No module named")
      ? `Diffill is not installed for ${python}.`
      : `${python} is not a Python 3.10 or newer.`;
  }
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

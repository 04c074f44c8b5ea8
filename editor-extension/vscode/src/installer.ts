// Makes the server's own virtual environment in the extension's storage. Nothing outside of it is touched.
import { spawn } from "node:child_process";
import { mkdir, rename, rm } from "node:fs/promises";
import * as path from "node:path";

import { type CancellationToken, commands, type LogOutputChannel, ProgressLocation, window } from "vscode";

import { onPath, pythonOf } from "./environment.js";
import { SECTION } from "./settings.js";

/** Ask, then make the environment with a progress message that can be cancelled. Returns whether it is there now. */
export async function install(environment: string, requirement: string, log: LogOutputChannel): Promise<boolean> {
  const python = (await onPath("python3")) ?? (await onPath("python"));
  if (python === undefined) {
    void window.showErrorMessage("Diffill needs Python 3.10 or newer, and none is on PATH. Install one and try again.");
    return false;
  }
  const unfinished = `${environment}.unfinished`;
  const options = { location: ProgressLocation.Notification, title: "Diffill: installing the server", cancellable: true };
  try {
    await window.withProgress(options, async (progress, token) => {
      await rm(unfinished, { recursive: true, force: true });
      await mkdir(path.dirname(environment), { recursive: true });
      progress.report({ message: "making a Python environment" });
      await logged(python, ["-m", "venv", unfinished], log, token);
      progress.report({ message: "downloading (about 300 MB with PyTorch)" });
      await logged(pythonOf(unfinished), ["-m", "pip", "install", "--disable-pip-version-check", requirement], log, token);
      await rm(environment, { recursive: true, force: true });
      await rename(unfinished, environment);
    });
    return true;
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    void explain(error as Error, log);
    return false;
  }
}

async function explain(error: Error, log: LogOutputChannel): Promise<void> {
  const otherwise = "Without a network: install it into a Python of your own, and choose that one.";
  const message = `Diffill was not installed: ${error.message}. ${otherwise}`;
  const choice = await window.showErrorMessage(message, "Show Log", "Choose an Interpreter");
  if (choice === "Show Log") {
    log.show();
  } else if (choice !== undefined) {
    await commands.executeCommand("workbench.action.openSettings", `${SECTION}.interpreter`);
  }
}

function logged(program: string, args: string[], log: LogOutputChannel, token: CancellationToken): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const cancelling = token.onCancellationRequested(() => child.kill());
    let last = "";
    const keep = (chunk: Buffer): void => {
      const text = chunk.toString().trim();
      if (text !== "") {
        last = text.split("\n").at(-1) ?? last;
        log.info(text);
      }
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", reject);
    child.once("close", (code) => {
      cancelling.dispose();
      if (code === 0) {
        resolve();
      } else {
        reject(new Error(token.isCancellationRequested ? "cancelled" : last || `exit code ${code}`));
      }
    });
  });
}

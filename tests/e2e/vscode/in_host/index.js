// What the extension API sees of the packed extension in the real VS Code. `run` is VS Code's own entry for such tests.
const assert = require("node:assert/strict");
const { rename, writeFile } = require("node:fs/promises");
const path = require("node:path");
const { commands, extensions, languages, Range, Selection, Uri, window, workspace } = require("vscode");

const GUARD_MS = 60_000;
const ASK_AGAIN_MS = 3_000;
const STOCK = "class Stock:\n    def __init__(self, items):\n        self.items = items\n\n    def add(self, item):\n        ";

const tests = {
  "every command of the manifest is registered": async () => {
    await extensions.getExtension("diffill.diffill").activate();
    const registered = await commands.getCommands(true);
    const missing = manifest().contributes.commands.filter(({ command }) => !registered.includes(command));
    assert.deepEqual(missing, []);
    await until(() => commands.executeCommand("diffill.stats").catch(() => undefined)); // the server is there
  },

  "no key binding takes Tab": () => {
    const taken = manifest().contributes.keybindings.filter(({ key }) => /(^|\+)tab$/i.test(key));
    assert.deepEqual(taken, []);
  },

  "a word is taken from the front": () => takesPart("acceptNextWord", "front1.py"),

  "a line is taken from the front": () => takesPart("acceptNextLine", "front2.py"),

  "ghost text is committed and undone in one step, in the second folder, with CRLF and an emoji": async () => {
    const editor = await open(1, "inside.py", `# 🧺 naïve\n${STOCK}`.replaceAll("\n", "\r\n"));
    await type(editor, "self.items");
    const before = editor.document.getText();
    await take(editor, "editor.action.inlineSuggest.commit");
    const after = editor.document.getText();
    assert.ok(after.startsWith(before), after);
    assert.equal(after.split("\n").length, after.split("\r\n").length);
    await commands.executeCommand("undo");
    assert.equal(editor.document.getText(), before);
  },

  "an untitled document is served": async () => {
    const document = await workspace.openTextDocument({ language: "python", content: STOCK });
    const editor = await window.showTextDocument(document);
    await type(editor, "self.items");
    await take(editor, "editor.action.inlineSuggest.commit");
  },

  "a storm of edits ends in the text that was typed, and in an answer": async () => {
    const editor = await open(0, "storm-inside.py", STOCK);
    for (const letter of "self.items = item; ".repeat(3)) {
      await type(editor, letter);
      void commands.executeCommand("editor.action.inlineSuggest.trigger");
    }
    assert.equal(editor.document.getText(), `${STOCK}${"self.items = item; ".repeat(3)}`);
    await type(editor, "self.items");
    await take(editor, "editor.action.inlineSuggest.commit");
  },

  "an action for a problem resolves to an edit, which is undone in one step": async () => {
    const text = "def total(items):\n    return sum(itms)\n";
    const editor = await open(0, "action.py", text);
    const { uri } = editor.document;
    const [problem] = await until(() => languages.getDiagnostics(uri).filter(({ source }) => source === "Ruff"));
    const actions = await until(async () => {
      const found = await commands.executeCommand("vscode.executeCodeActionProvider", uri, problem.range, "quickfix", 8);
      return found.filter(({ title, edit }) => title.startsWith("Fix this") && edit !== undefined);
    });
    await workspace.applyEdit(actions[0].edit);
    assert.equal(editor.document.getText(), text.replace("itms", "items"));
    await commands.executeCommand("undo");
    assert.equal(editor.document.getText(), text);
  },
};

async function takesPart(command, name) {
  const editor = await open(0, name, STOCK);
  await type(editor, "self.items");
  const before = editor.document.getText();
  await take(editor, `editor.action.inlineSuggest.${command}`);
  assert.ok(editor.document.getText().startsWith(before));
}

exports.run = async () => {
  const results = {};
  for (const [name, test] of Object.entries(tests)) {
    results[name] = await Promise.resolve()
      .then(test)
      .then(
        () => null,
        (error) => String(error.stack),
      );
  }
  const file = path.join(path.dirname(workspace.workspaceFile.fsPath), "inside.json");
  await writeFile(`${file}.new`, JSON.stringify(results));
  await rename(`${file}.new`, file);
};

exports.activate = () => undefined;

function manifest() {
  return extensions.getExtension("diffill.diffill").packageJSON;
}

function whole(document) {
  return new Range(document.positionAt(0), document.positionAt(document.getText().length));
}

async function open(folder, name, text) {
  const uri = Uri.joinPath(workspace.workspaceFolders[folder].uri, name);
  await workspace.fs.writeFile(uri, Buffer.from(text));
  return window.showTextDocument(await workspace.openTextDocument(uri));
}

/** At the end of the document. */
async function type(editor, text) {
  const end = editor.document.positionAt(editor.document.getText().length);
  editor.selection = new Selection(end, end);
  await commands.executeCommand("type", { text });
}

/** Wait for ghost text by trying to take it. */
async function take(editor, command) {
  const before = editor.document.getText();
  let asked = 0;
  await until(async () => {
    if (Date.now() - asked > ASK_AGAIN_MS) {
      asked = Date.now();
      await window.showTextDocument(editor.document); // a window that is still opening may put something else in front
      await commands.executeCommand("editor.action.inlineSuggest.trigger");
    }
    await commands.executeCommand(command);
    return editor.document.getText() !== before;
  });
}

/** The first answer that is neither false nor empty. */
async function until(find) {
  for (const end = Date.now() + GUARD_MS; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const found = await find();
    if (Array.isArray(found) ? found.length > 0 : found) {
      return found;
    }
  }
  throw new Error(`it did not come to that: ${find}; the text is ${window.activeTextEditor?.document.getText()}`);
}

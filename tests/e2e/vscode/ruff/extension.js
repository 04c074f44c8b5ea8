// Runs ruff (RUFF names it) over Python files when they are opened and changed, and shows what it finds. In JavaScript
// files it finds fault with every `lenght` and `length`, as a tool would that no repair can please.
const { execFile } = require("node:child_process");
const { Diagnostic, DiagnosticSeverity, languages, Range, workspace } = require("vscode");

exports.activate = (context) => {
  const problems = languages.createDiagnosticCollection("ruff");
  const check = (document) => {
    if (document.languageId === "javascript") problems.set(document.uri, lengths(document));
    if (document.languageId !== "python" || document.uri.scheme !== "file") return;
    const { version } = document;
    const child = execFile(process.env.RUFF, ["check", "--isolated", "--output-format=json", "-"], (_, output) => {
      if (document.version === version) {
        problems.set(document.uri, JSON.parse(output).map(toDiagnostic));
      }
    });
    child.stdin.end(document.getText());
  };
  context.subscriptions.push(
    problems,
    workspace.onDidOpenTextDocument(check),
    workspace.onDidChangeTextDocument((change) => check(change.document)),
  );
  workspace.textDocuments.forEach(check);
};

function lengths(document) {
  const found = [...document.getText().matchAll(/\b(lenght|length)\b/g)];
  return found.map(({ 0: word, index }) => {
    const range = new Range(document.positionAt(index), document.positionAt(index + word.length));
    return Object.assign(new Diagnostic(range, `There is no ${word}`), { source: "checker" });
  });
}

function toDiagnostic({ code, message, location, end_location: end }) {
  const range = new Range(location.row - 1, location.column - 1, end.row - 1, end.column - 1);
  const diagnostic = new Diagnostic(range, message, DiagnosticSeverity.Warning);
  return Object.assign(diagnostic, { code, source: "Ruff" });
}

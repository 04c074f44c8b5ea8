// Runs ruff (RUFF names it) over Python files when they are opened and changed, and shows what it finds.
const { execFile } = require("node:child_process");
const { Diagnostic, DiagnosticSeverity, languages, Range, workspace } = require("vscode");

exports.activate = (context) => {
  const problems = languages.createDiagnosticCollection("ruff");
  const check = (document) => {
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

function toDiagnostic({ code, message, location, end_location: end }) {
  const range = new Range(location.row - 1, location.column - 1, end.row - 1, end.column - 1);
  const diagnostic = new Diagnostic(range, message, DiagnosticSeverity.Warning);
  return Object.assign(diagnostic, { code, source: "Ruff" });
}

// In place of VS Code's log writer, which its package compiles at installation: the same interface in plain JavaScript.
// Without one VS Code writes no logs and shows empty outputs, and the tests read what extensions logged.
const { appendFileSync, mkdirSync } = require("node:fs");
const path = require("node:path");

const LEVELS = ["trace", "debug", "info", "warning", "error", "critical"];

class Logger {
  constructor(type, name, file) {
    this.file = file;
    this.level = 2;
    this.isFormatted = true;
  }

  write(level, message) {
    if (level >= this.level) {
      const time = new Date().toISOString().replace("T", " ").replace("Z", "");
      appendFileSync(this.file, this.isFormatted ? `${time} [${LEVELS[level]}] ${message}\n` : message);
    }
  }

  trace(message) { this.write(0, message); }
  debug(message) { this.write(1, message); }
  info(message) { this.write(2, message); }
  warn(message) { this.write(3, message); }
  error(message) { this.write(4, message); }
  critical(message) { this.write(5, message); }
  getLevel() { return this.level; }
  setLevel(level) { this.level = level; }
  setPattern() { this.isFormatted = true; }
  clearFormatters() { this.isFormatted = false; }
  flush() {}
  drop() {}
}

async function createRotatingLogger(name, file) {
  mkdirSync(path.dirname(file), { recursive: true });
  return new Logger("rotating", name, file);
}

exports.version = 0;
exports.setLevel = () => undefined;
exports.setFlushOn = () => undefined;
exports.Logger = Logger;
exports.createRotatingLogger = createRotatingLogger;
exports.createAsyncRotatingLogger = createRotatingLogger;

// Runs inside the sandbox: runs the program on standard input, then prints the word it was given, so that an early
// process.exit(0) does not count as success. A failed console.assert only warns in Node.js; here it ends the program.
'use strict'

const fs = require('node:fs')
const vm = require('node:vm')

const [word] = process.argv.splice(2)
const program = fs.readFileSync(0, 'utf8')
const write = fs.writeSync
console.assert = (holds) => {
  if (!holds) throw new Error('assertion failed')
}
for (const name of ['log', 'info', 'warn', 'error', 'debug']) console[name] = () => {}
globalThis.require = require
vm.runInThisContext(program, { filename: 'program.js' })
write(1, word)

-- What a person maps keys to. Nothing is mapped by itself; see :help diffill-mappings.
local M = {}

--- Insert what is shown. False when nothing is, so that a key can do what it usually does.
function M.accept() return require('diffill.completion').accept() end

--- Insert the next word of what is shown.
function M.accept_word() return require('diffill.completion').accept(require('diffill.part').word) end

--- Insert the next line of what is shown.
function M.accept_line() return require('diffill.completion').accept(require('diffill.part').line) end

function M.next() require('diffill.completion').select(1) end

function M.previous() require('diffill.completion').select(-1) end

function M.dismiss() require('diffill.completion').dismiss() end

---@param enable? boolean true by default
---@param buffer? integer
function M.enable(enable, buffer) require('diffill.completion').enable(enable ~= false, buffer) end

---@param buffer? integer
function M.toggle(buffer)
  local completion = require('diffill.completion')
  completion.enable(not completion.is_enabled(buffer), buffer)
end

--- For a status line.
---@param buffer? integer
---@return string
function M.status(buffer) return require('diffill.status').text(buffer) end

return M

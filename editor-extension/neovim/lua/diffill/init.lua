-- What a person maps keys to. Nothing is mapped by itself; see :help diffill-mappings.
local M = {}

--- Insert what is shown. False when nothing is, so that a key can do what it usually does.
function M.accept() return require('diffill.completion').accept() end

--- Insert the next word of what is shown. False as above.
function M.accept_word() return require('diffill.completion').accept(require('diffill.offer').word) end

--- Insert the next line of what is shown. False as above.
function M.accept_line() return require('diffill.completion').accept(require('diffill.offer').line) end

--- Show another answer. With one or none on the screen, more are asked for.
function M.next() require('diffill.completion').select(1) end

function M.previous() require('diffill.completion').select(-1) end

--- Hide the ghost text until the next key, and what next_edit() marked.
function M.dismiss()
  require('diffill.completion').dismiss()
  require('diffill.next_edit').dismiss()
end

--- Repair the diagnostic at the cursor; a diff is shown first.
function M.fix() require('diffill.repair').fix() end

--- Rewrite lines as an instruction says; a diff is shown first.
---@param first? integer 1-based; the cursor's line by default
---@param last? integer included
---@param instruction? string asked for by default
function M.rewrite(first, last, instruction)
  first = first or vim.fn.line('.')
  require('diffill.repair').rewrite(first, last or first, instruction)
end

--- Mark where else the last change is due; called again: take it there, and go on.
function M.next_edit() require('diffill.next_edit').next() end

---@param enable? boolean true by default
---@param buffer? integer
function M.enable(enable, buffer) require('diffill.completion').enable(enable ~= false, buffer) end

---@param buffer? integer
function M.toggle(buffer)
  local completion = require('diffill.completion')
  completion.enable(not completion.is_enabled(buffer), buffer)
end

--- Nothing is offered for so many minutes; 0 ends it.
---@param minutes? number 30 by default
function M.snooze(minutes)
  local client = vim.lsp.get_clients({ name = 'diffill' })[1]
  if client then
    client:exec_cmd({ title = 'Snooze', command = 'diffill.snooze', arguments = { { minutes = minutes or 30 } } })
  end
end

--- Start the server anew.
function M.restart() require('diffill.launch').restart() end

--- For a status line.
---@param buffer? integer
---@return string
function M.status(buffer) return require('diffill.status').text(buffer) end

return M

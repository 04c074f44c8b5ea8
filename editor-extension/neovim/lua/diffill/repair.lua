-- `Fix this` and rewrites: asked for at the cursor, shown as a diff, applied when taken.
local tasks = require('diffill.task')

local M = {}

---@param buffer integer
---@param client vim.lsp.Client
---@param task diffill.Task
---@param title string
local function work(buffer, client, task, title)
  tasks.resolve(buffer, client, task, function(edit, verified)
    require('diffill.preview').open(buffer, edit, {
      title = title,
      mark = verified and 'checked' or 'not checked',
      encoding = client.offset_encoding,
    })
  end)
end

--- Repair the diagnostic at the cursor.
function M.fix()
  local buffer = vim.api.nvim_get_current_buf()
  local client = tasks.client(buffer)
  local task = client and tasks.fix(buffer, client)
  if client and not task then
    vim.notify('Diffill: no diagnostic in this line', vim.log.levels.INFO)
  elseif client and task then
    work(buffer, client, task, task.message)
  end
end

--- Rewrite lines as an instruction says; asks for it when none is given.
---@param first integer 1-based
---@param last integer included
---@param instruction? string
function M.rewrite(first, last, instruction)
  local buffer = vim.api.nvim_get_current_buf()
  local client = tasks.client(buffer)
  if not client then
    return
  end
  if not instruction or instruction == '' then
    vim.ui.input({ prompt = 'Rewrite: ' }, function(answer)
      if answer and answer ~= '' then
        M.rewrite(first, last, answer)
      end
    end)
    return
  end
  work(buffer, client, tasks.rewrite(buffer, client, first, last, instruction), instruction)
end

--- The command of the server's action "Rewrite with an instruction…": ask, then the same.
---@param command lsp.Command
function M.ask_instruction(command)
  local range = command.arguments[1].range
  local last = range['end'].line + ((range['end'].character > 0 or range['end'].line == range.start.line) and 1 or 0)
  M.rewrite(range.start.line + 1, last)
end

return M

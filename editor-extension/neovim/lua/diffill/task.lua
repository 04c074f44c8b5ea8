-- What the server is asked to work out, in the form of docs/protocol.md; and the answer, before anything is applied.
local position = require('diffill.position')

local M = {}

---@class diffill.Task
---@field uri string
---@field range lsp.Range
---@field version integer
---@field kind 'fix'|'rewrite'|'completeBody'
---@field code? string
---@field message? string
---@field source? string
---@field unnecessary? boolean
---@field instruction? string

--- The server of a buffer; says what to do when there is none.
---@param buffer integer
---@return vim.lsp.Client?
function M.client(buffer)
  local client = vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
  if not client then
    vim.notify('Diffill is not attached to this buffer; see :checkhealth diffill', vim.log.levels.WARN)
  elseif not vim.bo[buffer].modifiable then
    vim.notify('Diffill: this buffer cannot be changed', vim.log.levels.WARN)
    return nil
  end
  return client
end

---@param buffer integer
---@param client vim.lsp.Client
---@param kind string
---@param first [integer, integer] row and column, 0-based, in bytes
---@param last [integer, integer]
---@return diffill.Task
local function of(buffer, client, kind, first, last)
  local encoding = client.offset_encoding
  return {
    uri = vim.uri_from_bufnr(buffer),
    version = vim.lsp.util.buf_versions[buffer],
    kind = kind,
    range = {
      start = position.to_lsp(buffer, first[1], first[2], encoding),
      ['end'] = position.to_lsp(buffer, last[1], last[2], encoding),
    },
  }
end

--- The diagnostic at the cursor, or the first one in its line.
---@param buffer integer
---@param client vim.lsp.Client
---@return diffill.Task?
function M.fix(buffer, client)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local found = vim.diagnostic.get(buffer, { lnum = cursor[1] - 1 })
  table.sort(found, function(a, b) return a.col < b.col end)
  local chosen = found[1]
  for _, diagnostic in ipairs(found) do
    if diagnostic.col <= cursor[2] and cursor[2] < math.max(diagnostic.end_col or 0, diagnostic.col + 1) then
      chosen = diagnostic
      break
    end
  end
  if not chosen then
    return nil
  end
  local first = { chosen.lnum, chosen.col }
  local task = of(buffer, client, 'fix', first, { chosen.end_lnum or chosen.lnum, chosen.end_col or chosen.col })
  task.code = chosen.code and tostring(chosen.code) or ''
  task.message = chosen.message
  task.source = chosen.source or ''
  task.unnecessary = chosen._tags ~= nil and chosen._tags.unnecessary == true
  return task
end

--- Whole lines, 1-based, both included.
---@param buffer integer
---@param client vim.lsp.Client
---@param first integer
---@param last integer
---@param instruction string
---@return diffill.Task
function M.rewrite(buffer, client, first, last, instruction)
  local text = vim.api.nvim_buf_get_lines(buffer, last - 1, last, false)[1] or ''
  local task = of(buffer, client, 'rewrite', { first - 1, 0 }, { last - 1, #text })
  task.instruction = instruction
  return task
end

--- Have it worked out. `use` gets the edit and whether a tool confirmed it; not called when there is none.
---@param buffer integer
---@param client vim.lsp.Client
---@param task diffill.Task
---@param use fun(edit: lsp.WorkspaceEdit, verified: boolean)
function M.resolve(buffer, client, task, use)
  local action = { title = 'Diffill: ' .. task.kind, data = task }
  client:request('codeAction/resolve', action, function(problem, result)
    if problem then
      vim.notify('Diffill: ' .. problem.message, vim.log.levels.WARN)
    elseif result and result.edit then
      use(result.edit, result.isPreferred == true)
    end -- without an edit the server has said so
  end, buffer)
end

return M

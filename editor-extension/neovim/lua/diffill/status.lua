-- What state the server says it is in, for a status line: require('diffill').status()
local M = {}

local states = {} ---@type table<integer, { state: string, percentage?: integer, message?: string }>

---@param client_id integer
---@param status { state: string, percentage?: integer, message?: string }
function M.update(client_id, status)
  states[client_id] = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'DiffillStatus', data = status, modeline = false })
  vim.cmd.redrawstatus()
end

---@param client_id integer
function M.forget(client_id)
  states[client_id] = nil
end

--- One short text for the buffer's status line; empty where Diffill is not attached.
---@param buffer? integer
---@return string
function M.text(buffer)
  local client = vim.lsp.get_clients({ bufnr = buffer or 0, name = 'diffill' })[1]
  if not client then
    return ''
  end
  if not require('diffill.completion').is_enabled(buffer) then
    return 'diffill: off'
  end
  local status = states[client.id] or { state = 'starting' }
  local percentage = status.state == 'loading' and status.percentage and (' %d%%'):format(status.percentage) or ''
  return 'diffill: ' .. status.state .. percentage
end

--- The last message of every attached server, for :checkhealth.
---@return table<integer, { state: string, percentage?: integer, message?: string }>
function M.all()
  return vim.deepcopy(states)
end

return M

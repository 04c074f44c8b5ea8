-- What state the server says it is in, for a status line: require('diffill').status()
local M = {}

---@class diffill.Status
---@field state 'loading'|'ready'|'busy'|'disabled'|'failed'
---@field percentage? integer
---@field message? string one line

local states = {} ---@type table<integer, diffill.Status>
local silent = {} ---@type table<string, string> by URI, why nothing is offered there

local function announce(data)
  vim.api.nvim_exec_autocmds('User', { pattern = 'DiffillStatus', data = data, modeline = false })
  vim.cmd.redrawstatus()
end

---@param client_id integer
---@param status diffill.Status
function M.update(client_id, status)
  states[client_id] = status
  announce(status)
end

---@param status { uri: string, enabled: boolean, message: string }
function M.update_document(status)
  silent[status.uri] = not status.enabled and status.message or nil
  announce(status)
end

local LEVELS = { vim.log.levels.ERROR, vim.log.levels.WARN, vim.log.levels.INFO }

--- What the server has to say, in the way in which this person is told things.
---@param message lsp.ShowMessageParams
function M.say(message)
  vim.cmd.redraw() -- below the answer to a question it would make a second line, and Neovim would wait for a key
  vim.notify('Diffill: ' .. message.message, LEVELS[message.type] or vim.log.levels.DEBUG)
end

---@param client_id integer
function M.forget(client_id)
  states[client_id] = nil
end

--- One short text for the buffer's status line; empty where Diffill is not attached.
---@param buffer? integer
---@return string
function M.text(buffer)
  buffer = vim._resolve_bufnr(buffer)
  local client = vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
  if not client then
    return ''
  end
  if not require('diffill.completion').is_enabled(buffer) or silent[vim.uri_from_bufnr(buffer)] then
    return 'diffill: off'
  end
  local status = states[client.id] or { state = 'starting' }
  local percentage = status.state == 'loading' and status.percentage and (' %d%%'):format(status.percentage) or ''
  return 'diffill: ' .. status.state .. percentage
end

--- Why nothing is offered in a buffer, or what the server is doing; empty when there is nothing to say.
---@param buffer? integer
---@return string
function M.reason(buffer)
  buffer = vim._resolve_bufnr(buffer)
  local client = vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
  local status = client and states[client.id]
  return silent[vim.uri_from_bufnr(buffer)] or status and status.message or ''
end

--- The last message of every attached server, for :checkhealth.
---@return table<integer, diffill.Status>
function M.all()
  return vim.deepcopy(states)
end

return M

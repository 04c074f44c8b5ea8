-- Tells the server what all tools report about a buffer: it looks whether a repair that was applied has helped.
local position = require('diffill.position')

local PAUSE_MS = 100 -- tools report one after the other
local MAX_REPORTED = 200

local M = {}
local waiting = {} ---@type table<integer, true> buffers

---@param buffer integer
---@param client vim.lsp.Client
local function send(buffer, client)
  local encoding = client.offset_encoding
  local reported = {} ---@type lsp.Diagnostic[]
  for _, found in ipairs(vim.list_slice(vim.diagnostic.get(buffer), 1, MAX_REPORTED)) do
    reported[#reported + 1] = {
      range = {
        start = position.to_lsp(buffer, found.lnum, found.col, encoding),
        ['end'] = position.to_lsp(buffer, found.end_lnum or found.lnum, found.end_col or found.col, encoding),
      },
      severity = found.severity,
      code = found.code and tostring(found.code) or nil,
      source = found.source,
      message = found.message,
    }
  end
  client:notify('diffill/diagnostics', { uri = vim.uri_from_bufnr(buffer), diagnostics = reported })
end

--- They have changed in a buffer.
---@param buffer integer
function M.changed(buffer)
  if waiting[buffer] then
    return
  end
  waiting[buffer] = true
  vim.defer_fn(function()
    waiting[buffer] = nil
    local loaded = vim.api.nvim_buf_is_loaded(buffer)
    local client = loaded and vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
    if client then
      send(buffer, client)
    end
  end, PAUSE_MS)
end

return M

-- What this editor can do, beyond what it says itself.
local M = {}

---@return lsp.ClientCapabilities
function M.make()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  -- 0.11 does not know inline completion, but this plugin does.
  capabilities.textDocument.inlineCompletion = capabilities.textDocument.inlineCompletion or { dynamicRegistration = false }
  capabilities.experimental = { commands = { commands = { 'diffill.askInstruction' } } }
  return capabilities
end

return M

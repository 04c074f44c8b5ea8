-- What this editor can do, beyond what it says itself: 0.11 does not know inline completion, but this plugin does.
local M = {}

---@return lsp.ClientCapabilities
function M.make()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = capabilities.textDocument.inlineCompletion or { dynamicRegistration = false }
  return capabilities
end

return M

-- Neovim 0.12's own inline completion, as diffill.GhostText.
---@type diffill.GhostText
local M = {
  enable = function(enable, buffer) vim.lsp.inline_completion.enable(enable, { bufnr = buffer }) end,
  is_enabled = function(buffer) return vim.lsp.inline_completion.is_enabled({ bufnr = buffer }) end,
  get = function(opts) return vim.lsp.inline_completion.get(opts) end,
  select = function(count) vim.lsp.inline_completion.select({ count = count }) end,
  hide = function(buffer)
    -- There is no public way to drop the current item: off and on again is.
    vim.lsp.inline_completion.enable(false, { bufnr = buffer })
    vim.lsp.inline_completion.enable(true, { bufnr = buffer })
  end,
}

return M

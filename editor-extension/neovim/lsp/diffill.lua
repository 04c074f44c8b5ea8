-- Configuration for vim.lsp.enable('diffill'), Neovim 0.12 or newer. `diffill` must be on PATH, or set cmd:
--   vim.lsp.config('diffill', { cmd = { '/path/to/.venv/bin/diffill', 'lsp' } })
---@type vim.lsp.Config
return {
  cmd = { 'diffill', 'lsp' },
  filetypes = { 'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact' },
  root_markers = { '.git' },
}

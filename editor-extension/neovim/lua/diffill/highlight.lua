-- How ghost text looks. Neovim's own scheme gives its group no colour in terminals without 24-bit ones: there it would look
-- like text that was typed.
local GREY, GREY_OF_16 = 244, 8

local M = {}

local function set()
  vim.api.nvim_set_hl(0, 'ComplHint', { link = 'NonText', default = true })
  vim.api.nvim_set_hl(0, 'ComplHintMore', { link = 'MoreMsg', default = true })
  local hint = vim.api.nvim_get_hl(0, { name = 'ComplHint', link = false })
  if vim.o.termguicolors or hint.ctermfg or hint.cterm then
    return
  end
  local screen = vim.api.nvim_list_uis()[1]
  hint.ctermfg = screen and screen.term_colors < 256 and GREY_OF_16 or GREY
  vim.api.nvim_set_hl(0, 'ComplHint', hint)
end

--- Now, and again with another colour scheme.
function M.enable()
  set()
  vim.api.nvim_create_autocmd('ColorScheme', {
    group = vim.api.nvim_create_augroup('diffill.highlight', {}),
    desc = 'Diffill: ghost text does not look like text',
    callback = set,
  })
end

return M

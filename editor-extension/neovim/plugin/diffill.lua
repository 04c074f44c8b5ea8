-- Names to map keys to, and :Diffill. Nothing is loaded before the first of them is used.
if vim.g.loaded_diffill then
  return
end
vim.g.loaded_diffill = true

vim.api.nvim_create_autocmd('FileType', {
  desc = 'Diffill: say so when the program is missing, at the first file that it would serve',
  callback = function(event)
    if vim.lsp.is_enabled('diffill') and vim.tbl_contains(vim.lsp.config.diffill.filetypes, event.match) then
      vim.schedule(function() require('diffill.launch').check_program() end)
      return true
    end
  end,
})

vim.api.nvim_create_autocmd('DiagnosticChanged', {
  desc = 'Diffill: the server looks whether a repair that was applied has helped',
  callback = function(event)
    if vim.lsp.is_enabled('diffill') then
      require('diffill.diagnostics').changed(event.buf)
    end
  end,
})

--- In insert mode: do it, or what the key usually does when nothing is shown.
---@param name string
---@param otherwise? string
local function plug(name, otherwise)
  local method = name:gsub('-', '_')
  vim.keymap.set('i', '<Plug>(diffill-' .. name .. ')', function()
    return require('diffill')[method]() == false and otherwise or ''
  end, { expr = true, replace_keycodes = true, desc = 'Diffill: ' .. name:gsub('-', ' ') })
end

plug('accept', '<Tab>')
plug('accept-word')
plug('accept-line')
plug('next')
plug('previous')
plug('dismiss')
vim.keymap.set('n', '<Plug>(diffill-fix)', function() require('diffill').fix() end, { desc = 'Diffill: fix this' })
vim.keymap.set('n', '<Plug>(diffill-next-edit)', function() require('diffill').next_edit() end, { desc = 'Diffill: next edit' })
vim.keymap.set({ 'n', 'x' }, '<Plug>(diffill-rewrite)', ':Diffill rewrite<CR>', { desc = 'Diffill: rewrite' })

---@type table<string, fun(words: string, range: vim.api.keyset.create_user_command.command_args)>
local actions = {
  enable = function() require('diffill').enable() end,
  disable = function() require('diffill').enable(false) end,
  toggle = function() require('diffill').toggle() end,
  restart = function() require('diffill').restart() end,
  fix = function() require('diffill').fix() end,
  ['next-edit'] = function() require('diffill').next_edit() end,
  rewrite = function(words, arguments) require('diffill').rewrite(arguments.line1, arguments.line2, words) end,
  snooze = function(words)
    local minutes = tonumber(words ~= '' and words or 30)
    if minutes then
      require('diffill').snooze(minutes)
    else
      vim.notify(('Diffill: %q is no number of minutes'):format(words), vim.log.levels.ERROR)
    end
  end,
  status = function()
    local text, reason = require('diffill').status(), require('diffill.status').reason()
    local line = text ~= '' and text or 'diffill: not attached to this buffer; see :checkhealth diffill'
    vim.notify(reason ~= '' and (line .. ' (' .. reason .. ')') or line)
  end,
}
local names = vim.tbl_keys(actions)
table.sort(names)

vim.api.nvim_create_user_command('Diffill', function(arguments)
  local name, words = arguments.args:match('^(%S+)%s*(.*)$')
  if actions[name] then
    actions[name](words, arguments)
  else
    vim.notify(('Diffill: no action %q; one of %s'):format(name, table.concat(names, ', ')), vim.log.levels.ERROR)
  end
end, {
  nargs = '+',
  range = true,
  complete = function(lead)
    return vim.tbl_filter(function(name) return vim.startswith(name, lead) end, names)
  end,
  desc = 'Diffill: ' .. table.concat(names, ', '),
})

-- Names to map keys to. Nothing is loaded before the first of them is used.
if vim.g.loaded_diffill then
  return
end
vim.g.loaded_diffill = true

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

local actions = { 'enable', 'disable', 'toggle', 'status' }
vim.api.nvim_create_user_command('Diffill', function(arguments)
  local diffill = require('diffill')
  local action = arguments.args
  if action == 'enable' or action == 'disable' then
    diffill.enable(action == 'enable')
  elseif action == 'toggle' then
    diffill.toggle()
  elseif action == 'status' then
    local text = diffill.status()
    vim.notify(text ~= '' and text or 'diffill: not attached to this buffer; see :checkhealth diffill')
  else
    vim.notify(('Diffill: no action %q; one of %s'):format(action, table.concat(actions, ', ')), vim.log.levels.ERROR)
  end
end, {
  nargs = 1,
  complete = function(lead)
    return vim.tbl_filter(function(action) return vim.startswith(action, lead) end, actions)
  end,
  desc = 'Diffill: enable, disable, toggle, status',
})

-- Neovim 0.12's own inline completion, as diffill.GhostText.
-- What is shown and who is asked for more is not public there yet: `is_usable` looks whether it is where it was.
local offers = require('diffill.offer')
local position = require('diffill.position')

local asked_at = {} ---@type table<integer, diffill.Place> where several answers were asked for, by buffer

---@return table? completor of vim.lsp.inline_completion
local function completor(buffer)
  return require('vim.lsp._capability').all.inline_completion.active[buffer]
end

---@type diffill.GhostText
local M = {} ---@diagnostic disable-line: missing-fields

--- Whether this Neovim has what is needed.
---@return boolean
function M.is_usable()
  if not vim.lsp.inline_completion then
    return false
  end
  local found, class = pcall(function() return require('vim.lsp._capability').all.inline_completion end)
  if not found or not class or not class.active then
    return false
  end
  return class.handler ~= nil and class.reset_timer ~= nil and class.abort ~= nil
end

local function group_of(buffer)
  return 'diffill.built_in.' .. buffer
end

function M.enable(enable, buffer)
  vim.lsp.inline_completion.enable(enable, { bufnr = buffer })
  local group = vim.api.nvim_create_augroup(group_of(buffer), {})
  if not enable then
    return
  end
  vim.api.nvim_create_autocmd('InsertEnter', {
    group = group,
    buffer = buffer,
    callback = function() asked_at[buffer] = nil end,
  })
  vim.api.nvim_create_autocmd({ 'CursorMovedI', 'TextChangedP' }, {
    group = group,
    buffer = buffer,
    desc = 'Diffill: what no longer fits the text is not shown until the next answer',
    callback = function()
      if vim.deep_equal(asked_at[buffer], position.place(buffer)) then
        M.pause(buffer) -- the event of a key before that one
      end
      local offer = M.offer(buffer)
      if offer and not offers.rest(offer, buffer) then
        local shown = assert(completor(buffer))
        shown.current = nil
        shown:hide()
      end
    end,
  })
end

function M.is_enabled(buffer)
  return vim.lsp.inline_completion.is_enabled({ bufnr = buffer })
end

function M.offer(buffer)
  local shown = completor(buffer)
  local current = shown and shown.current
  if not current or type(current.insert_text) ~= 'string' then
    return nil
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  local row, column = cursor[1] - 1, cursor[2]
  if current.range then
    row, column = current.range:to_extmark()
  end
  local text = current.insert_text
  return { text = text, row = row, column = column, command = current.command, client_id = current.client_id }
end

function M.show(buffer, client, items)
  local shown = completor(buffer)
  if shown then
    shown:handler(nil, { items = items }, { client_id = client.id })
  end
end

function M.count(buffer)
  local shown = completor(buffer)
  return shown and shown.current and shown:count_items() or 0
end

function M.select(buffer, count)
  vim.lsp.inline_completion.select({ bufnr = buffer, count = count })
end

function M.pause(buffer)
  local shown = completor(buffer)
  if shown then
    shown:reset_timer()
    asked_at[buffer] = position.place(buffer)
  end
end

function M.hide(buffer)
  asked_at[buffer] = nil
  local shown = completor(buffer)
  if shown then
    shown:abort()
  end
end

return M

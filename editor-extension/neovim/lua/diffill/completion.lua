-- Ghost text, whoever draws it: vim.lsp.inline_completion where Neovim has it (0.12), diffill.ghost_text where not (0.11).
local offers = require('diffill.offer')
local position = require('diffill.position')

local METHOD = 'textDocument/inlineCompletion'
local INVOKED = 1
local M = {}

---@class diffill.GhostText
---@field enable fun(enable: boolean, buffer: integer)
---@field is_enabled fun(buffer: integer): boolean
---@field offer fun(buffer: integer): diffill.Offer?
---@field show fun(buffer: integer, client: vim.lsp.Client, items: lsp.InlineCompletionItem[])
---@field count fun(buffer: integer): integer
---@field select fun(buffer: integer, count: integer)
---@field pause fun(buffer: integer) what it would ask for in a moment, or for the keys so far, is not asked for
---@field hide fun(buffer: integer)

--- `vim.g.diffill_ghost_text = 'own'` chooses this plugin's: it asks sooner than Neovim's, which waits 200 ms.
---@return diffill.GhostText
local function drawer()
  local built_in = require('diffill.built_in')
  local wanted = vim.g.diffill_ghost_text ~= 'own' and built_in.is_usable()
  return wanted and built_in or require('diffill.ghost_text')
end

---@return vim.lsp.Client?
local function client_of(buffer)
  return vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
end

---@param client vim.lsp.Client
---@param buffer integer
function M.attach(client, buffer)
  if not client:supports_method(METHOD, buffer) or vim.b[buffer].diffill_enabled == false then
    return
  end
  if vim.lsp.inline_completion and drawer() ~= require('diffill.built_in') then
    vim.lsp.inline_completion.enable(false, { client_id = client.id }) -- never both
  end
  require('diffill.highlight').enable()
  drawer().enable(true, buffer)
end

--- Turn ghost text on or off, in one buffer (0 is the current one).
---@param enable boolean
---@param buffer? integer
function M.enable(enable, buffer)
  buffer = vim._resolve_bufnr(buffer)
  vim.b[buffer].diffill_enabled = enable
  drawer().enable(enable, buffer)
end

---@param buffer? integer
---@return boolean
function M.is_enabled(buffer)
  return drawer().is_enabled(vim._resolve_bufnr(buffer))
end

--- At the cursor, as one step of undo.
---@param buffer integer
---@param text string
local function insert(buffer, text)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(text, '\n', { plain = true })
  vim.cmd('let &g:undolevels = &g:undolevels') -- what was typed before is undone by itself: :help undo-break
  vim.api.nvim_buf_set_text(buffer, row - 1, column, row - 1, column, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and column or 0) + #lines[#lines] })
end

---@param offer diffill.Offer
---@param text string
local function report_part(client, offer, text)
  client:notify('textDocument/didPartiallyAcceptCompletion', {
    item = { insertText = offer.text, command = offer.command },
    acceptedLength = vim.str_utfindex(text, 'utf-16'),
  })
end

---@param buffer integer
---@param part? fun(text: string): string
local function take(buffer, part)
  local offer = drawer().offer(buffer)
  local rest = offers.rest(offer, buffer) -- again: it is a moment later
  if not offer or not rest then
    return
  end
  local text = part and part(rest) or rest
  drawer().hide(buffer)
  insert(buffer, text)
  local client = vim.lsp.get_client_by_id(offer.client_id)
  if not client then
    return
  end
  if text == rest then
    if offer.command then
      client:exec_cmd(offer.command, { bufnr = buffer })
    end
    return
  end
  report_part(client, offer, text)
  local cursor = position.of_cursor(client.offset_encoding)
  local left = { insertText = rest:sub(#text + 1), range = { start = cursor, ['end'] = cursor }, command = offer.command }
  drawer().show(buffer, client, { left })
end

--- Insert what is shown, or the part of it that `part` picks.
---@param part? fun(text: string): string
---@return boolean whether anything was shown
function M.accept(part)
  local buffer = vim.api.nvim_get_current_buf()
  local rest = offers.rest(drawer().offer(buffer), buffer)
  if not rest or rest == '' then
    return false
  end
  vim.schedule(function() take(buffer, part) end) -- an expression mapping may not change text
  return true
end

--- Ask for several answers, and show the one `count` places further on than what is shown, or the first.
---@param buffer integer
---@param client vim.lsp.Client
---@param count integer
local function ask_for_more(buffer, client, count)
  drawer().pause(buffer) -- or that request, which is newer, would be answered in place of this one
  local before = offers.rest(drawer().offer(buffer), buffer)
  local place = position.place(buffer)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  ---@diagnostic disable-next-line: inject-field
  params.context = { triggerKind = INVOKED }
  ---@diagnostic disable-next-line: inject-field
  params.formattingOptions = vim.lsp.util.make_formatting_params().options
  client:request(METHOD, params, function(problem, result)
    local items = not problem and result and (result.items or result) or {}
    local is_same = vim.api.nvim_get_current_buf() == buffer and vim.deep_equal(position.place(buffer), place)
    if #items == 0 or not is_same or vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' then
      return
    end
    drawer().show(buffer, client, items)
    drawer().select(buffer, before == items[1].insertText and count or 0)
  end, buffer)
end

--- Show the answer `count` places further on; negative goes back. Several are asked for when only one is there.
---@param count integer
function M.select(count)
  local buffer = vim.api.nvim_get_current_buf()
  local client = client_of(buffer)
  if drawer().count(buffer) > 1 then
    drawer().select(buffer, count)
  elseif client and M.is_enabled(buffer) then
    ask_for_more(buffer, client, count)
  end
end

--- Hide what is shown until the next key.
function M.dismiss()
  drawer().hide(vim.api.nvim_get_current_buf())
end

return M

-- Inline completion for Neovim 0.11, which has none: asks after a pause, draws extmarks, inserts on acceptance.
local offers = require('diffill.offer')
local position = require('diffill.position')

local METHOD = 'textDocument/inlineCompletion'
local AUTOMATIC = 2
local PAUSE_MS = 40 -- the server waits too, as long as this person's rhythm asks for

---@class diffill.ghost_text.Shown
---@field client vim.lsp.Client
---@field items lsp.InlineCompletionItem[]
---@field index integer
---@field cycles? boolean the person looks through several

---@class diffill.ghost_text.State
---@field group integer
---@field timer uv.uv_timer_t
---@field shown? diffill.ghost_text.Shown
---@field pending? fun()
---@field asked_at? diffill.Place where several answers were asked for

local namespace = vim.api.nvim_create_namespace('diffill.ghost_text')
local states = {} ---@type table<integer, diffill.ghost_text.State>

---@type diffill.GhostText
local M = {} ---@diagnostic disable-line: missing-fields

---@param buffer integer
local function clear(buffer)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
end

---@param lines string[]
---@param buffer integer
---@return [string, string][][] lines as extmarks have them, where tabs would be shown as signs
local function virtual(lines, buffer)
  local tab = (' '):rep(vim.bo[buffer].tabstop)
  return vim.tbl_map(function(line) return { { (line:gsub('\t', tab)), 'ComplHint' } } end, lines)
end

---@param buffer integer
local function draw(buffer)
  clear(buffer)
  local rest = offers.rest(M.offer(buffer), buffer)
  if not rest or rest == '' then
    return
  end
  local lines = virtual(vim.split(rest, '\n', { plain = true }), buffer)
  local first = table.remove(lines, 1)
  local shown = states[buffer].shown
  if shown.cycles then
    table.insert(lines[#lines] or first, { (' (%d/%d)'):format(shown.index, #shown.items), 'ComplHintMore' })
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  vim.api.nvim_buf_set_extmark(buffer, namespace, cursor[1] - 1, cursor[2], {
    virt_text = first,
    virt_text_pos = 'inline',
    virt_lines = #lines > 0 and lines or nil,
    hl_mode = 'combine',
  })
end

---@param buffer integer
local function cancel(buffer)
  local state = states[buffer]
  state.timer:stop()
  if state.pending then
    state.pending()
    state.pending = nil
  end
end

---@param buffer integer
local function request(buffer)
  local state = states[buffer]
  local client = vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
  if not state or not client or vim.api.nvim_get_current_buf() ~= buffer then
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  ---@diagnostic disable-next-line: inject-field
  params.context = { triggerKind = AUTOMATIC }
  ---@diagnostic disable-next-line: inject-field
  params.formattingOptions = vim.lsp.util.make_formatting_params().options
  local sent, identifier = client:request(METHOD, params, function(problem, result)
    state.pending = nil
    if problem or not result or vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' or states[buffer] ~= state then
      return -- null: out of date, what is shown stays
    end
    M.show(buffer, client, result.items or result)
  end, buffer)
  if sent then
    state.pending = function()
      if client.requests[identifier] then -- else the answer is here, and its handler is about to run
        client:cancel_request(identifier)
      end
    end
  end
end

---@param buffer integer
local function moved(buffer)
  if not offers.rest(M.offer(buffer), buffer) then
    states[buffer].shown = nil
  end
  draw(buffer)
  if vim.deep_equal(states[buffer].asked_at, position.place(buffer)) then
    return -- the event of a key before that one
  end
  cancel(buffer)
  states[buffer].timer:start(PAUSE_MS, 0, vim.schedule_wrap(function() request(buffer) end))
end

function M.pause(buffer)
  if states[buffer] then
    cancel(buffer)
    states[buffer].asked_at = position.place(buffer)
  end
end

function M.hide(buffer)
  if states[buffer] then
    cancel(buffer)
    states[buffer].asked_at = nil
    states[buffer].shown = nil
    clear(buffer)
  end
end

function M.enable(enable, buffer)
  if enable == M.is_enabled(buffer) then
    return
  end
  if not enable then
    M.hide(buffer)
    states[buffer].timer:close()
    vim.api.nvim_del_augroup_by_id(states[buffer].group)
    states[buffer] = nil
    return
  end
  local group = vim.api.nvim_create_augroup('diffill.ghost_text.' .. buffer, {})
  states[buffer] = { group = group, timer = assert(vim.uv.new_timer()) }
  local on = function(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buffer, callback = callback })
  end
  on({ 'InsertEnter', 'CursorMovedI', 'TextChangedP' }, function() moved(buffer) end)
  on('InsertLeave', function() M.hide(buffer) end)
  on('BufUnload', function() M.enable(false, buffer) end)
end

function M.is_enabled(buffer)
  return states[buffer] ~= nil
end

function M.offer(buffer)
  local shown = states[buffer] and states[buffer].shown
  local item = shown and shown.items[shown.index]
  if not shown or not item then
    return nil
  end
  local row, column = position.from_lsp(buffer, item.range.start, shown.client.offset_encoding)
  return { text = item.insertText, row = row, column = column, command = item.command, client_id = shown.client.id }
end

function M.show(buffer, client, items)
  if states[buffer] then
    states[buffer].shown = { client = client, items = items, index = 1 }
    draw(buffer)
  end
end

function M.count(buffer)
  local shown = states[buffer] and states[buffer].shown
  return shown and #shown.items or 0
end

function M.select(buffer, count)
  local shown = states[buffer] and states[buffer].shown
  if shown and #shown.items > 0 then
    shown.index = (shown.index - 1 + count) % #shown.items + 1
    shown.cycles = true
    draw(buffer)
  end
end

return M

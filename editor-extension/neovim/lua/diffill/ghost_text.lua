-- Inline completion for Neovim 0.11, which has none: asks after a pause, draws extmarks, inserts on acceptance.
local METHOD = 'textDocument/inlineCompletion'
local AUTOMATIC = 2
local PAUSE_MS = 40 -- the server waits too, as long as this person's rhythm asks for

---@class diffill.ghost_text.Shown
---@field client vim.lsp.Client
---@field items lsp.InlineCompletionItem[]
---@field index integer

---@class diffill.ghost_text.State
---@field group integer
---@field timer uv.uv_timer_t
---@field shown? diffill.ghost_text.Shown
---@field pending? fun()

local namespace = vim.api.nvim_create_namespace('diffill.ghost_text')
local states = {} ---@type table<integer, diffill.ghost_text.State>

---@type diffill.GhostText
local M = {} ---@diagnostic disable-line: missing-fields

---@param buffer integer
local function clear(buffer)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
end

---@param range lsp.Range
---@param buffer integer
---@param encoding string
---@return integer row, integer column both 0-based, column in bytes
local function start_of(range, buffer, encoding)
  local line = vim.api.nvim_buf_get_lines(buffer, range.start.line, range.start.line + 1, false)[1] or ''
  return range.start.line, vim.str_byteindex(line, encoding, range.start.character, false)
end

--- The item that is shown and how much of it stands before the cursor; nil when it no longer fits the text.
---@param buffer integer
---@return diffill.Item?, integer? typed bytes
local function current(buffer)
  local state = states[buffer]
  local shown = state and state.shown
  local item = shown and shown.items[shown.index]
  if not shown or not item then
    return nil
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  local row, column = cursor[1] - 1, cursor[2]
  if item.range then
    row, column = start_of(item.range, buffer, shown.client.offset_encoding)
  end
  local before = vim.api.nvim_get_current_line():sub(column + 1, cursor[2])
  if row ~= cursor[1] - 1 or column > cursor[2] or not vim.startswith(item.insertText, before) then
    return nil
  end
  local range = { to_extmark = function() return row, column, row, cursor[2] end }
  return { insert_text = item.insertText, range = range, command = item.command, client_id = shown.client.id }, #before
end

---@param buffer integer
local function draw(buffer)
  clear(buffer)
  local item, typed = current(buffer)
  if not item or #item.insert_text == typed then
    return
  end
  local lines = vim.split(item.insert_text:sub(typed + 1), '\n', { plain = true })
  local below = {}
  for index = 2, #lines do
    below[#below + 1] = { { lines[index], 'ComplHint' } }
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  vim.api.nvim_buf_set_extmark(buffer, namespace, cursor[1] - 1, cursor[2], {
    virt_text = { { lines[1], 'ComplHint' } },
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
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
---@param kind integer
local function request(buffer, kind)
  local state = states[buffer]
  local client = vim.lsp.get_clients({ bufnr = buffer, name = 'diffill' })[1]
  if not state or not client or vim.api.nvim_get_current_buf() ~= buffer then
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  ---@diagnostic disable-next-line: inject-field
  params.context = { triggerKind = kind }
  local sent, identifier = client:request(METHOD, params, function(problem, result)
    state.pending = nil
    if problem or not result or vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' or states[buffer] ~= state then
      return -- null: out of date, what is shown stays
    end
    state.shown = { client = client, items = result.items or result, index = 1 }
    draw(buffer)
  end, buffer)
  if sent then
    state.pending = function() client:cancel_request(identifier) end
  end
end

---@param buffer integer
local function moved(buffer)
  if not current(buffer) then
    states[buffer].shown = nil
  end
  draw(buffer)
  cancel(buffer)
  states[buffer].timer:start(PAUSE_MS, 0, vim.schedule_wrap(function() request(buffer, AUTOMATIC) end))
end

---@param buffer integer
function M.hide(buffer)
  if states[buffer] then
    cancel(buffer)
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
  vim.api.nvim_set_hl(0, 'ComplHint', { link = 'NonText', default = true })
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

function M.get(opts)
  local buffer = vim.api.nvim_get_current_buf()
  local item = current(buffer)
  if not item then
    return false
  end
  vim.schedule(function() -- so that this can be called from an expression mapping
    M.hide(buffer)
    local chosen = item
    if opts and opts.on_accept then
      chosen = opts.on_accept(item)
    end
    if not chosen then
      return
    end
    local row, column, last_row, last_column = chosen.range:to_extmark()
    local lines = vim.split(chosen.insert_text, '\n', { plain = true })
    vim.api.nvim_buf_set_text(buffer, row, column, last_row, last_column, lines)
    vim.api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and column or 0) + #lines[#lines] })
    local client = vim.lsp.get_client_by_id(chosen.client_id)
    if chosen.command and client then
      client:exec_cmd(chosen.command, { bufnr = buffer })
    end
  end)
  return true
end

function M.select(count)
  local buffer = vim.api.nvim_get_current_buf()
  local shown = states[buffer] and states[buffer].shown
  if shown and #shown.items > 0 then
    shown.index = (shown.index - 1 + count) % #shown.items + 1
    draw(buffer)
  end
end

return M

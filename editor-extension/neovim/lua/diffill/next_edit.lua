-- The change just made, where else it is due: marked in the text, taken one by one.
local position = require('diffill.position')
local tasks = require('diffill.task')

local METHOD = 'diffill/nextEdit'
local namespace = vim.api.nvim_create_namespace('diffill.next_edit')
local M = {}

---@class diffill.next_edit.State
---@field texts table<integer, string> by the id of its mark
---@field tick integer

local states = {} ---@type table<integer, diffill.next_edit.State>

--- Forget what is marked.
---@param buffer? integer
---@return boolean whether anything was
function M.dismiss(buffer)
  buffer = vim._resolve_bufnr(buffer)
  local was = states[buffer] ~= nil
  states[buffer] = nil
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  return was
end

--- The marks that are left, in the order of the text.
---@return vim.api.keyset.get_extmark_item[]
local function marks(buffer)
  return vim.api.nvim_buf_get_extmarks(buffer, namespace, 0, -1, { details = true })
end

---@param buffer integer
---@param edits { text: string, range: lsp.Range }[]
---@param encoding string
local function mark(buffer, edits, encoding)
  M.dismiss(buffer)
  local texts = {}
  for _, edit in ipairs(edits) do
    local row, column = position.from_lsp(buffer, edit.range.start, encoding)
    local last_row, last_column = position.from_lsp(buffer, edit.range['end'], encoding)
    local text = edit.text:gsub('\r\n?', '\n')
    local id = vim.api.nvim_buf_set_extmark(buffer, namespace, row, column, {
      end_row = last_row,
      end_col = last_column,
      hl_group = 'DiffDelete',
      virt_text = { { (text:gsub('\n', '⏎')), 'DiffAdd' } },
      virt_text_pos = 'inline',
    })
    texts[id] = text
  end
  states[buffer] = { texts = texts, tick = vim.api.nvim_buf_get_changedtick(buffer) }
end

--- Put the cursor on the next marked place, after the last one on the first.
local function jump(buffer)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local first, after
  for _, found in ipairs(marks(buffer)) do
    first = first or found
    if not after and (found[2] > cursor[1] - 1 or (found[2] == cursor[1] - 1 and found[3] >= cursor[2])) then
      after = found
    end
  end
  local target = after or first
  if target then
    vim.cmd("normal! m'")
    vim.api.nvim_win_set_cursor(0, { target[2] + 1, target[3] })
  end
end

--- Take the marked edit under the cursor; false when there is none.
local function take(buffer)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local state = states[buffer]
  for _, found in ipairs(marks(buffer)) do
    local text = state.texts[found[1]]
    if found[2] == cursor[1] - 1 and found[3] == cursor[2] then
      local lines = vim.split(text, '\n', { plain = true })
      vim.api.nvim_buf_set_text(buffer, found[2], found[3], found[4].end_row, found[4].end_col, lines)
      vim.api.nvim_buf_del_extmark(buffer, namespace, found[1])
      state.texts[found[1]] = nil
      state.tick = vim.api.nvim_buf_get_changedtick(buffer)
      return true
    end
  end
  return false
end

local function ask(buffer, client)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  ---@diagnostic disable-next-line: inject-field
  params.textDocument.version = vim.lsp.util.buf_versions[buffer]
  client:request(METHOD, params, function(problem, result)
    if problem then
      vim.notify('Diffill: ' .. problem.message, vim.log.levels.WARN)
    elseif vim.lsp.util.buf_versions[buffer] ~= params.textDocument.version then
      return
    elseif #result.edits == 0 then
      vim.notify('Diffill: the last change is due nowhere else')
    else
      mark(buffer, result.edits, client.offset_encoding)
      jump(buffer)
    end
  end, buffer)
end

--- First call: mark where the last change is due and go to the first. Then: take it, and go to the next.
function M.next()
  local buffer = vim.api.nvim_get_current_buf()
  local client = tasks.client(buffer)
  if not client then
    return
  end
  local state = states[buffer]
  if not state or state.tick ~= vim.api.nvim_buf_get_changedtick(buffer) then
    M.dismiss(buffer)
    ask(buffer, client)
    return
  end
  take(buffer)
  if next(state.texts) then
    jump(buffer)
  else
    M.dismiss(buffer)
  end
end

return M

-- A proposed edit as a diff in a floating window; `y` takes it, `n` leaves it.
local M = {}

---@param edit lsp.WorkspaceEdit
---@return lsp.TextEdit[]
local function text_edits(edit)
  local edits = {}
  for _, change in ipairs(edit.documentChanges or {}) do
    vim.list_extend(edits, change.edits)
  end
  for _, change in pairs(edit.changes or {}) do
    vim.list_extend(edits, change)
  end
  return edits
end

---@param buffer integer
---@return string
local function text_of(buffer)
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n') .. '\n'
end

---@param buffer integer
---@param edit lsp.WorkspaceEdit
---@param encoding string
---@return string[] lines of a unified diff, without its head
local function diff(buffer, edit, encoding)
  local copy = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(copy, 0, -1, false, vim.api.nvim_buf_get_lines(buffer, 0, -1, false))
  vim.lsp.util.apply_text_edits(text_edits(edit), copy, encoding)
  local compare = vim.text.diff or vim.diff
  local text = compare(text_of(buffer), text_of(copy), { ctxlen = 2 })
  vim.api.nvim_buf_delete(copy, { force = true })
  return vim.split(vim.trim(text), '\n', { plain = true })
end

---@param text string
---@param cells integer
---@return string
local function shorten(text, cells)
  if vim.fn.strdisplaywidth(text) <= cells then
    return text
  end
  repeat
    text = vim.fn.strcharpart(text, 0, vim.fn.strchars(text) - 1)
  until vim.fn.strdisplaywidth(text) < cells or text == ''
  return text .. '…'
end

---@param lines string[]
---@param title string one line
---@param mark string said behind the title, however long that is
---@return integer window
local function float(lines, title, mark)
  local scratch = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(scratch, 0, -1, false, lines)
  vim.bo[scratch].filetype = 'diff'
  vim.bo[scratch].modifiable = false
  vim.bo[scratch].bufhidden = 'wipe'
  mark = (' (%s) '):format(mark)
  local width = math.max(44, vim.fn.strdisplaywidth(title .. mark) + 1)
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  width = math.max(1, math.min(width, vim.o.columns - 4))
  return vim.api.nvim_open_win(scratch, true, {
    relative = 'cursor',
    row = 1,
    col = 0,
    width = width,
    height = math.max(1, math.min(#lines, math.floor(vim.o.lines / 2))),
    border = 'rounded',
    style = 'minimal',
    title = ' ' .. shorten(title, width - vim.fn.strdisplaywidth(mark) - 1) .. mark,
    footer = ' y take · n leave ',
  })
end

--- Show an edit to a buffer, and apply it as one step of undo if the person takes it.
---@param buffer integer
---@param edit lsp.WorkspaceEdit
---@param options { title: string, mark: string, encoding: string }
function M.open(buffer, edit, options)
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  local window = float(diff(buffer, edit, options.encoding), options.title:match('[^\r\n]*'), options.mark)
  local function close()
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_close(window, true)
    end
  end
  local function take()
    close()
    if vim.api.nvim_buf_get_changedtick(buffer) ~= tick then
      vim.notify('Diffill: the text has changed since; ask again', vim.log.levels.WARN)
      return
    end
    vim.lsp.util.apply_text_edits(text_edits(edit), buffer, options.encoding)
  end
  local scratch = vim.api.nvim_win_get_buf(window)
  for key, act in pairs({ y = take, ['<CR>'] = take, n = close, q = close, ['<Esc>'] = close }) do
    vim.keymap.set('n', key, act, { buffer = scratch, nowait = true })
  end
  vim.api.nvim_create_autocmd('WinLeave', { buffer = scratch, once = true, callback = vim.schedule_wrap(close) })
end

return M

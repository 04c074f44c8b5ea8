-- The first word or line of a text, and what of an item stands before the cursor already.
local M = {}

---@param text string
---@return string
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_]+') or text
end

---@param text string
---@return string
function M.line(text)
  return text:match('^\n*[^\n]+') or text
end

--- What of `item.insert_text` the person has typed since it was offered.
---@param item diffill.Item
---@return string
function M.typed(item)
  if not item.range then
    return ''
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  local row, column = item.range:to_extmark()
  if row ~= cursor[1] - 1 or column >= cursor[2] then
    return ''
  end
  local before = vim.api.nvim_get_current_line():sub(column + 1, cursor[2])
  return vim.startswith(item.insert_text, before) and before or ''
end

return M

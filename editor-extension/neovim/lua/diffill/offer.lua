-- A completion that is shown: where it begins, and how much of it the person has typed since.
local M = {}

---@class diffill.Offer
---@field text string
---@field row integer 0-based, where it begins
---@field column integer in bytes
---@field command? lsp.Command run once it is accepted
---@field client_id integer

--- What is not typed yet; nil when the text before the cursor went another way.
---@param offer? diffill.Offer
---@param buffer integer
---@return string?
function M.rest(offer, buffer)
  if not offer or vim.api.nvim_get_current_buf() ~= buffer then
    return nil
  end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  row = row - 1
  if offer.row > row or (offer.row == row and offer.column > column) then
    return nil
  end
  local fits, lines = pcall(vim.api.nvim_buf_get_text, buffer, offer.row, offer.column, row, column, {})
  local typed = fits and table.concat(lines, '\n') or nil
  return typed and vim.startswith(offer.text, typed) and offer.text:sub(#typed + 1) or nil
end

--- The next word of a text, with the space before it.
---@param text string
---@return string
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_]+') or text
end

--- The rest of the line, or the line below when this one is at its end.
---@param text string
---@return string
function M.line(text)
  return text:match('^\n*[^\n]+') or text
end

return M

-- Bytes to the protocol's positions and back. Rows and columns are 0-based, columns in bytes.
local M = {}

---@param buffer integer
---@param row integer
---@return string
local function line_of(buffer, row)
  return vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ''
end

---@param buffer integer
---@param row integer
---@param column integer
---@param encoding string
---@return lsp.Position
function M.to_lsp(buffer, row, column, encoding)
  return { line = row, character = vim.str_utfindex(line_of(buffer, row), encoding, column, false) }
end

---@param buffer integer
---@param position lsp.Position
---@param encoding string
---@return integer row, integer column
function M.from_lsp(buffer, position, encoding)
  return position.line, vim.str_byteindex(line_of(buffer, position.line), encoding, position.character, false)
end

--- Where the cursor of the current window stands.
---@param encoding string
---@return lsp.Position
function M.of_cursor(encoding)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return M.to_lsp(0, row - 1, column, encoding)
end

---@class diffill.Place
---@field tick integer
---@field cursor integer[]

--- The cursor of the current window, and the state of the text it stands in.
---@param buffer integer
---@return diffill.Place
function M.place(buffer)
  return { tick = vim.api.nvim_buf_get_changedtick(buffer), cursor = vim.api.nvim_win_get_cursor(0) }
end

return M

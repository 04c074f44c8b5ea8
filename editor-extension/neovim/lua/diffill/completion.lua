-- Ghost text, whoever draws it: vim.lsp.inline_completion where Neovim has it (0.12), diffill.ghost_text where not (0.11).
local M = {}

---@class diffill.Item
---@field insert_text string
---@field range? table
---@field command? lsp.Command
---@field client_id integer

---@class diffill.GhostText
---@field enable fun(enable: boolean, buffer: integer)
---@field is_enabled fun(buffer: integer): boolean
---@field get fun(opts?: { on_accept?: fun(item: diffill.Item): diffill.Item? }): boolean insert what is shown; false when nothing is
---@field select fun(count: integer)
---@field hide fun(buffer: integer)

---@return diffill.GhostText
local function drawer()
  return vim.lsp.inline_completion and require('diffill.built_in') or require('diffill.ghost_text')
end

---@param client vim.lsp.Client
---@param buffer integer
function M.attach(client, buffer)
  if client:supports_method('textDocument/inlineCompletion', buffer) and vim.b[buffer].diffill_enabled ~= false then
    drawer().enable(true, buffer)
  end
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

--- Insert what is shown, or the part of it that `part` picks.
---@param part? fun(text: string): string
---@return boolean whether anything was shown
function M.accept(part)
  if not part then
    return drawer().get()
  end
  return drawer().get({
    on_accept = function(item)
      local typed = require('diffill.part').typed(item)
      local rest = item.insert_text:sub(#typed + 1)
      local taken = part(rest)
      if taken ~= rest then
        item.insert_text = typed .. taken
        item.command = nil -- accepted is said once, of the whole
      end
      return item
    end,
  })
end

--- Show the answer `count` places further on; negative goes back.
---@param count integer
function M.select(count)
  drawer().select(count)
end

--- Hide what is shown until the next key.
function M.dismiss()
  drawer().hide(vim.api.nvim_get_current_buf())
end

return M

-- When the server is started, and started again after it fell over.
local MAX_RESTARTS = 4
local CALM_MS = 180000 -- after so long without a fall they count from nothing

local M = {}
local falls = {} ---@type integer[] times, milliseconds
local is_missing_said = false

---@return string? the program that is to be started
local function program()
  local config = vim.lsp.config.diffill
  return config and type(config.cmd) == 'table' and config.cmd[1] or nil
end

--- Say once when the program is missing: Neovim 0.12 says nothing.
---@return boolean whether it is there
function M.check_program()
  local command = program()
  if not command or vim.fn.executable(command) == 1 then
    return true
  end
  if not is_missing_said then
    is_missing_said = true
    local message = 'Diffill: there is no program %s. `pip install diffill`, or name it: see :checkhealth diffill'
    vim.notify(message:format(command), vim.log.levels.WARN)
  end
  return false
end

--- `root_dir` of the configuration: the repository, or nothing; no start at all without the program.
---@param buffer integer
---@param on_directory fun(directory?: string)
function M.root(buffer, on_directory)
  if M.check_program() then
    on_directory(vim.fs.root(buffer, '.git'))
  end
end

local function start_anew()
  vim.lsp.enable('diffill', false) -- or enabling it would change nothing
  vim.lsp.enable('diffill')
end

--- `on_exit` of the configuration: start it again after a while that doubles, give up after some times, and say so once.
---@param code integer
---@param signal integer
function M.ended(code, signal)
  if (code == 0 and signal == 0) or vim.v.exiting ~= vim.NIL or not vim.lsp.is_enabled('diffill') then
    return
  end
  local now = vim.uv.now()
  falls = vim.tbl_filter(function(at) return now - at < CALM_MS end, falls)
  falls[#falls + 1] = now
  if #falls <= MAX_RESTARTS then
    vim.defer_fn(start_anew, 500 * 2 ^ #falls)
  elseif #falls == MAX_RESTARTS + 1 then
    local message = 'Diffill: the server ended %d times and is left alone now. Its log: %s. To try again: :Diffill restart'
    vim.notify(message:format(#falls, vim.lsp.log.get_filename()), vim.log.levels.ERROR)
  end
end

--- Start it anew, whatever happened before.
function M.restart()
  falls = {}
  is_missing_said = false
  vim.lsp.enable('diffill', false)
  vim.defer_fn(start_anew, 500) -- once the old one is gone
end

return M

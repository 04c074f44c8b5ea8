-- When the server is started, and started again after it fell over.
local MAX_RESTARTS = 3
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
    vim.notify(('Diffill: there is no program %s; see :checkhealth diffill'):format(command), vim.log.levels.WARN)
  end
  return false
end

--- The same command, but its end is told by this plugin alone: Neovim speaks up at each, and waits for a key.
---@param command string[]|fun(dispatchers: vim.lsp.rpc.Dispatchers, config: vim.lsp.ClientConfig): vim.lsp.rpc.PublicClient
---@return fun(dispatchers: vim.lsp.rpc.Dispatchers, config: vim.lsp.ClientConfig): vim.lsp.rpc.PublicClient
local function quiet(command)
  return function(dispatchers, config)
    local on_exit = dispatchers.on_exit
    dispatchers = vim.tbl_extend('force', dispatchers, {
      on_exit = function(code, signal)
        on_exit(0, 0)
        vim.schedule(function() M.ended(code, signal) end)
      end,
    })
    if type(command) == 'function' then
      return command(dispatchers, config)
    end
    return vim.lsp.rpc.start(command, dispatchers, { cwd = config.cmd_cwd, env = config.cmd_env, detached = config.detached })
  end
end

--- `root_dir` of the configuration. It names no directory to Neovim but starts the server itself: in the repository or
--- without one, and not at all without the program.
---@param buffer integer
function M.start(buffer)
  if M.check_program() then
    local config = vim.lsp.config.diffill
    config = vim.tbl_extend('force', config, { cmd = quiet(config.cmd) })
    config.root_dir = vim.fs.root(buffer, '.git')
    vim.lsp.start(config, { bufnr = buffer, reuse_client = config.reuse_client })
  end
end

local function start_anew()
  vim.lsp.enable('diffill', false) -- or enabling it would change nothing
  vim.lsp.enable('diffill')
end

--- Start it again after a while that doubles, give up after some times, and say so once: in a line that fits.
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
    vim.notify('Diffill: the server keeps ending and is left alone; see :checkhealth diffill', vim.log.levels.ERROR)
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

-- :checkhealth diffill
local M = {}

local function check_neovim()
  if vim.lsp.inline_completion and not require('diffill.built_in').is_usable() then
    vim.health.info('Neovim ' .. tostring(vim.version()) .. ' keeps its ghost text elsewhere than known; this plugin draws it')
  elseif vim.lsp.inline_completion then
    vim.health.ok('Neovim ' .. tostring(vim.version()) .. ' draws ghost text itself')
  elseif vim.fn.has('nvim-0.11') == 1 then
    vim.health.ok('Neovim ' .. tostring(vim.version()) .. '; ghost text is drawn by this plugin')
  else
    vim.health.error('Neovim 0.11 or newer is needed')
  end
end

local function check_server()
  local config = vim.lsp.config.diffill
  if not config then
    vim.health.error('no configuration named diffill: is editor-extension/neovim on the runtime path?')
    return
  end
  if not vim.lsp.is_enabled('diffill') then
    vim.health.warn('not enabled', "put vim.lsp.enable('diffill') into your configuration")
  end
  local command = config.cmd
  if type(command) ~= 'table' then
    return
  end
  if vim.fn.executable(command[1]) == 0 then
    vim.health.error(('%s is not there'):format(command[1]), {
      'install Diffill, or',
      "vim.lsp.config('diffill', { cmd = { '/path/to/bin/diffill', 'lsp' } })",
    })
    return
  end
  local program = command[2] == '-m' and { command[1], '-m', 'diffill.cli.main' } or { command[1] }
  local result = vim.system(vim.list_extend(program, { 'doctor', '--json' }), { text = true, timeout = 60000 }):wait()
  local understood, report = pcall(vim.json.decode, result.stdout)
  if not understood then
    local said = vim.split(vim.trim((result.stdout or '') .. (result.stderr or '')), '\n')
    vim.health.error(('%s does not run Diffill: %s'):format(command[1], said[#said] ~= '' and said[#said] or 'no answer'), {
      'install Diffill for it, or name another',
      "vim.lsp.config('diffill', { cmd = { '/path/to/bin/diffill', 'lsp' } })",
    })
    return
  end
  local say = { ok = vim.health.ok, warn = vim.health.warn, fail = vim.health.error }
  for _, check in ipairs(report.checks) do
    say[check.state](('%s: %s'):format(check.name, check.detail))
  end
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = 'diffill' })
  if #clients == 0 then
    vim.health.warn('no server is running', {
      'it starts with the first file that it serves; `:Diffill restart` starts it anew',
      'what it said last is in ' .. vim.lsp.log.get_filename(),
    })
  end
  local states = require('diffill.status').all()
  for _, client in ipairs(clients) do
    local status = states[client.id] or { state = 'starting' }
    local line = ('client %d: %s, positions in %s'):format(client.id, status.state, client.offset_encoding)
    local report = status.state == 'failed' and vim.health.error or vim.health.ok
    report(status.message and (line .. ': ' .. status.message) or line)
  end
end

local function check_neighbours()
  for _, name in ipairs({ 'copilot', 'supermaven-nvim', 'codeium', 'minuet' }) do
    if package.loaded[name] then
      vim.health.warn(name .. ' shows ghost text too', 'turn one of them off')
    end
  end
end

function M.check()
  vim.health.start('Diffill')
  check_neovim()
  check_server()
  check_clients()
  check_neighbours()
end

return M

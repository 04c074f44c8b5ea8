#!/usr/bin/env bash
# What the real editors need of the system: a browser, ripgrep, patchelf and tmux. Installed where apt can; else named.
set -euo pipefail
missing=()
for program in chromium rg patchelf tmux; do
  command -v "$program" >/dev/null || missing+=("${program/#rg/ripgrep}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"
else
  echo "the tests in real editors need ${missing[*]}; install them and try again" >&2
  exit 1
fi

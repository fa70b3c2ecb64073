# Every target makes its own virtual environment: python3, make and git are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL := -n 2 --dist loadfile
READY := $(VENV)/.ready
SITE_READY := $(VENV)/.site-ready

.PHONY: help install train test test-all bench lint types layout docs release clean
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/  /'

install: $(READY) ## create .venv with the exact versions of requirements.lock

$(READY): requirements.lock pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jaxmac needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

train: $(READY) ## eight seeds of AVF-VDN learn Box Pushing: curve and animation in runs/box_pushing_10
	$(BIN)/jaxmac train --algorithm avf-vdn --env BoxPushing-10 --preset tuned --seeds 8 --episodes 5000 --out runs/box_pushing_10 --overwrite

test: $(READY) ## the suite without the slow tests
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(READY) ## everything, slow tests included
	$(BIN)/python -m pytest $(PARALLEL) -m "slow or not slow"

bench: $(READY) ## environment and training throughput, written to benchmarks/results
	$(BIN)/jaxmac bench

lint: $(READY) types ## ruff: style, imports, docstrings, layout; and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) layout ## mypy on jaxmac/ and envs/, put together as they are installed
	$(BIN)/mypy

layout: # build/types: links to jaxmac/ and envs/, for what reads the library without importing it
	rm -rf build/types && mkdir -p build/types/jaxmac
	ln -s $(CURDIR)/jaxmac/* build/types/jaxmac/
	ln -sfn $(CURDIR)/envs build/types/jaxmac/envs

docs: $(SITE_READY) layout ## the documentation as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(SITE_READY): docs/requirements.lock $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -r docs/requirements.lock
	touch $@

release: export JAXMAC_REPOSITORY = $(REPOSITORY)
release: $(READY) ## wheel and source distribution in dist/, checked; REPOSITORY=https://... makes the page's links absolute
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -c requirements.lock -e ".[release]"
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) build .pytest_cache .ruff_cache .mypy_cache *.egg-info

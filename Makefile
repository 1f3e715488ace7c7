# Everything a developer types. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
VENV := .venv
AUDIT := $(VENV)/audit
DOCS := $(VENV)/docs
SBOM := $(VENV)/sbom
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp
PYTEST_ARGS ?= -n 3 --dist worksteal
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

.PHONY: help setup run demo test check bench chaos drill audit sbom image docs views reference ci lock dist

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv and install what the lock files say; does nothing when up to date

$(STAMP): locks/bootstrap.lock locks/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "setup 1/4  an environment of its own in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	@echo "setup 2/4  the installer uv, from locks/bootstrap.lock"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/bootstrap.lock
	@echo "setup 3/4  the dependencies, from locks/dev.lock (about 200 MB at first)"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r locks/dev.lock 2>&1 | sed -n 's/^/           /; /\(Resolved\|Prepared\|Installed\|error\|×\|╰\|Caused\)/p'
	@echo "setup 4/4  Postroom itself"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## everything in one terminal: database, API, runner, mail catcher, demo events; stays up
	@exec $(BIN)/postroom up --demo

demo: setup ## the same on a database of its own, until every effect has arrived; exits 0 or 1
	@exec $(BIN)/postroom up --demo --once

test: setup ## all tests, on a PostgreSQL that they start themselves (PYTEST_ARGS="-n 3 --dist worksteal")
	@$(BIN)/pytest $(PYTEST_ARGS)
	@if $(BIN)/python -c 'from postroom.postgres.binaries import find_binaries; find_binaries("machine")' 2>/dev/null; then \
	  echo "once more on the machine's own PostgreSQL: what runs most of the statements"; \
	  POSTROOM_TEST_FLAVOUR=machine $(BIN)/pytest $(PYTEST_ARGS) @tests/on_the_machines_postgresql.txt; \
	else echo "this machine has no PostgreSQL of its own to try as well (Debian: apt-get install postgresql)"; fi

check: setup ## format, lint, types, layers, lock files, how old the images of deploy/ are
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -p no:cacheprovider tests/repository/test_lock_files.py tests/deploy/test_versions.py

bench: setup ## how fast it is (FULL=1, ONLY=row,row, PEERS=path/to/run, CELERY=path/to/python)
	@exec $(BIN)/python -m bench

chaos: setup ## faults while it works, then nothing lost (SEED=n, MINUTES=m, SECONDS=s; a minute by default; CLUSTER=patroni, BROKER=nats or rabbitmq)
	@exec $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(BROKER),--broker $(BROKER))

drill: setup ## every alert broken, fired, mended by its page (FULL=1 for all, ONLY=NAME for one)
	@exec $(BIN)/python -m drill $(if $(filter 1,$(FULL)),--full) $(if $(ONLY),--only $(ONLY))

audit: setup ## ask an advisory service about every locked dependency; needs the network, so not in ci
	@test -x $(AUDIT)/bin/pip-audit || $(BIN)/uv venv --quiet $(AUDIT)
	@$(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python --require-hashes -r locks/audit.lock
	@for lock in runtime dev; do \
	  $(AUDIT)/bin/pip-audit --strict --requirement locks/$$lock.lock --require-hashes --disable-pip --progress-spinner off; done

sbom: setup ## what the service is made of, from locks/runtime.lock, as CycloneDX in dist/postroom.cdx.json
	@test -x $(SBOM)/bin/cyclonedx-py || $(BIN)/uv venv --quiet $(SBOM)
	@$(BIN)/uv pip install --quiet --python $(SBOM)/bin/python --require-hashes -r locks/sbom.lock
	@mkdir -p dist
	@PYTHONWARNINGS=ignore::UserWarning $(SBOM)/bin/cyclonedx-py requirements locks/runtime.lock --pyproject pyproject.toml --output-reproducible \
	  --validate --output-file dist/postroom.cdx.json
	@echo "dist/postroom.cdx.json"

image: setup ## the image, built by buildah on a base of debootstrap, and started; root, network, 4 minutes, so not in ci
	@POSTROOM_TEST_IMAGE=1 $(BIN)/pytest -v tests/deploy/test_image.py

docs: $(DOCS)/.stamp ## the documents as a site in site/: strict, links checked
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --clean
	@echo "site/index.html"

$(DOCS)/.stamp: $(STAMP) locks/docs.lock
	@test -x $(DOCS)/bin/python || $(BIN)/uv venv --quiet $(DOCS)
	@$(BIN)/uv pip install --quiet --python $(DOCS)/bin/python --require-hashes -r locks/docs.lock
	@touch $@

views: setup ## the views of schema stripe made anew from Stripe's library
	@$(BIN)/python -m docs.generator.stripe_views

reference: setup ## docs/reference made anew from the code
	@$(BIN)/python -m docs.generator

ci: ## what .ci/run calls: setup, check, docs, sbom, test, drill
	@$(MAKE) setup
	@$(MAKE) check
	@$(MAKE) docs
	@$(MAKE) sbom
	@$(MAKE) test
	@$(MAKE) drill

lock: setup ## resolve the dependencies anew and write locks/
	@$(LOCK) pyproject.toml --extra server --output-file locks/runtime.lock
	@$(LOCK) pyproject.toml --extra dev --output-file locks/dev.lock
	@printf '%s\n' uv hatchling | $(LOCK) - --output-file locks/bootstrap.lock
	@$(LOCK) --group docs --output-file locks/docs.lock
	@printf '%s\n' pip-audit | $(LOCK) - --output-file locks/audit.lock
	@printf '%s\n' cyclonedx-bom | $(LOCK) - --output-file locks/sbom.lock

dist: setup ## wheel and source archive in dist/: the same bytes from the same source
	@rm -rf dist
	@$(BIN)/hatchling build -d dist
	@cd dist && sha256sum *

# Two commands are enough on a fresh machine with Python 3.11-3.13 and make: `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := env -u PYTHONDONTWRITEBYTECODE .venv/bin/
HOME_DIR ?= .

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.tools/bin/uv:
	@echo "uv is not here: installing it into .tools"
	@python3 -m venv .tools && .tools/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/.installed: uv.lock pyproject.toml | $(UV)
	@echo "installing from uv.lock (byte-compiling takes a minute)"
	@env -u PYTHONDONTWRITEBYTECODE UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --compile-bytecode --quiet
	@touch $@

setup: .venv/.installed  ## install what the lock names into .venv

demo: .venv/.installed  ## the demo city through all five stages under Airflow, in about three minutes
	@$(RUN)python -m governance.orchestrate.demo

up: .venv/.installed  ## start Airflow with its UI on this machine
	@$(RUN)python -m governance.orchestrate.serve --home $(HOME_DIR)

check: .venv/.installed  ## report every fault of the catalogue
	@$(RUN)gov --home $(HOME_DIR) check

lint: .venv/.installed  ## ruff, mypy, layers
	@$(RUN)ruff check . && $(RUN)ruff format --check . && $(RUN)mypy && $(RUN)lint-imports

test: .venv/.installed lint  ## everything CI runs
	@$(RUN)python -m pytest -n 2 --dist loadfile --ignore=tests/orchestrate/test_scheduler.py

test-scheduler: .venv/.installed  ## the demo under the real scheduler, asserted (two minutes)
	@$(RUN)python -m pytest tests/orchestrate/test_scheduler.py

bench: .venv/.installed  ## all measures, or one: make bench NAME=governed_run
	@$(RUN)python -m benchmarks $(NAME)

attack: .venv/.installed  ## random statements that look for what is hidden: make attack QUERIES=10000
	@QUERIES=$(or $(QUERIES),10000) $(RUN)python -m benchmarks leak_score

tests/service/fuzz/.venv/.installed: tests/service/fuzz/uv.lock | $(UV)
	@env -u PYTHONDONTWRITEBYTECODE UV_PYTHON_DOWNLOADS=never $(UV) sync --project tests/service/fuzz --frozen --quiet
	@touch $@

fuzz: .venv/.installed tests/service/fuzz/.venv/.installed  ## schemathesis against a real `gov serve`: make fuzz SECONDS=60
	@$(RUN)python -m tests.service.fuzz $(or $(SECONDS),60)

clean:  ## remove what runs have written (not the environment)
	rm -rf var build

.PHONY: help setup demo up check lint test test-scheduler bench attack fuzz clean

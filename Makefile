# make demo: the main job on a simulated scan.   make test: the tests.   make check: format, lint, types and tests.   make benchmark [DATA=folder]: every peer at hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check format lint types benchmark docker-check clean

demo: $(VENV)/.run
	$(BIN)/nilatron demo demo_output

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: lint types test

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

benchmark: $(VENV)/.benchmark
	$(BIN)/python benchmarks/compare.py $(if $(DATA),--data $(DATA))

docker-check: $(VENV)/.test
	NILATRON_DOCKER_CHECK=1 $(BIN)/python -m pytest tests/test_docker.py

$(VENV)/.benchmark: $(VENV)/.run
	$(INSTALL) --editable '.[benchmark]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo_output src/*.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; make PYTHON=... names another")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python setup.cfg constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(INSTALL) --editable '.[test]'
	touch $@

# make demo: the main job on a simulated scan.   make quick: the tests to run before a commit, under a minute.   make test: all tests.
# make check: format, lint, types and all tests.   make benchmark [DATA=folder]: every peer at hand.   make gpu: all that needs an NVIDIA GPU.
# make docs: the documentation, its examples run, warnings as errors.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# a file of tests to a process: fixtures of a module are made once; one thread each, since the processes share the cores
# files in the order of tests/conftest.py
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo quick test check format lint types benchmark docs gpu docker-check clean

demo: $(VENV)/.run
	$(BIN)/nilatron demo demo_output

quick: $(VENV)/.test
	$(PYTEST) -m "not slow and not gpu" --durations 5 --durations-min 0.5  # what it names belongs among the slow ones

test: $(VENV)/.test
	$(PYTEST)

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

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

gpu:  # installs for itself, after a look for a GPU
	PYTHONPATH=src $(PYTHON) benchmarks/check_gpu.py -o gpu_report --install make --venv $(VENV)

docker-check: $(VENV)/.test
	NILATRON_DOCKER_CHECK=1 $(BIN)/python -m pytest tests/test_docker.py

$(VENV)/.benchmark: $(VENV)/.run
	$(INSTALL) --editable '.[benchmark]'
	touch $@

$(VENV)/.docs: $(VENV)/.run
	$(INSTALL) --editable '.[docs]'
	touch $@

$(VENV)/.gpu: $(VENV)/.run
	$(INSTALL) --editable '.[gpu]'
	touch $@

$(VENV)/.tensorrt: $(VENV)/.run
	$(INSTALL) --editable '.[tensorrt]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo_output gpu_report docs/_build docs/generated docs/examples src/*.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; make PYTHON=... names another")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python setup.cfg constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(INSTALL) --editable '.[test]'
	touch $@

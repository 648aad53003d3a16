# The course: `make book` to read it, `make test` to check it. Both do all the set-up.

PYTHON ?= python3
BIN := .venv/bin
SOLUTIONS ?= yes
SAMPLE ?= 300

# CPU=yes takes a torch without GPU parts. An environment stays of its kind: later calls need not say
# it again, and CPU=no makes it anew with the registry's torch.
ifneq ($(origin CPU),command line)
CPU := $(if $(wildcard .venv/.ready-cpu),yes,no)
endif
ifeq ($(CPU),yes)
READY := .venv/.ready-cpu
CLEAR := $(if $(wildcard $(READY)),,--clear)
INDEX := --extra-index-url https://download.pytorch.org/whl/cpu
else
READY := .venv/.ready
CLEAR := $(if $(wildcard .venv/.ready-cpu),--clear)
endif
# So does another Python than the environment's, where one is named.
ifeq ($(origin PYTHON),command line)
ifneq ($(wildcard .venv),)
ifneq ($(shell $(PYTHON) -V),$(shell $(BIN)/python -V))
CLEAR := --clear
.PHONY: $(READY)
endif
endif
endif
LAST_LINE := import pathlib; print("Open", pathlib.Path("_build/html/index.html").resolve().as_uri())

export PYTHONUTF8 := 1

.PHONY: help book test data notebooks lint mutants clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

book: data  ## build the book into _build/html, warnings as errors; SOLUTIONS=no: for students; CPU=yes: no GPU parts
ifeq ($(SOLUTIONS),yes)
	$(BIN)/jupyter-book build . --all -n -W --keep-going
	@$(BIN)/python -c '$(LAST_LINE)'
else
	$(BIN)/python book/student_edition.py
endif

test: data  ## run everything: unit tests, every notebook, a strict build of the book
	$(BIN)/python -m pytest -n 2 --dist loadfile

data: $(READY)  ## generate the slices in Mayo/, once
	$(BIN)/python -m ippy prepare

notebooks: data  ## run all chapters again, write their outputs and how long they took
	$(BIN)/python book/run_chapters.py
	$(BIN)/python book/instructor.py

lint: $(READY)  ## check the style of code and notebooks, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

mutants: data  ## put faults into the package, one at a time: do the tests notice? SAMPLE=300 of them
	$(BIN)/python benchmarks/mutants.py --sample $(SAMPLE)

clean:  ## remove the built book and the caches; keep the environment, the slices and the weights
	rm -rf _build .pytest_cache .ruff_cache .import_linter_cache weights/demo
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

# The environment, made again when what it holds changes.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ippy needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(CLEAR) .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(INDEX) -r requirements.txt
	@touch $@

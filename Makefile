# make demo     install what is missing, then train, generate, build and run on both emulated cores
# make test     install what is missing, then run every test and check
# make setup    install only: system packages (Debian, Ubuntu) and .venv
# make format   rewrite Python and C sources in the project's format
# make budgets  measure instructions, flash, RAM and stack of tests/e2e/budgets.toml and rewrite it
# make docs     write the documentation as a site into build/docs/
# make reference   rewrite docs/reference/ from the code
# make fuzz SECONDS=600   fuzz the decoders of coded weights
# make fuzz-loader SECONDS=600   fuzz the loader of .nestnet files; by coverage if atheris is installed
# make interrupt RUNS=20000   change the level by an interrupt at pseudo-random moments of that many inferences
# make fuzz-models SECONDS=600   fuzz what becomes of random modules, from tracing to C
# make experiment NAME=speed ARGS="..."   measure an experiment and rewrite its result and page; without NAME, list them
# make clean    remove what the other targets made, .venv and runs/ excepted

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := .ci/constraints.txt
# TORCH=cpu installs torch without CUDA where pip finds such a build, TORCH=cuda what the package index
# offers. TORCH_INDEX=URL: a package index that has the CPU builds, for a pip that knows none.
TORCH ?= cpu
TORCH_INDEX ?=
# The first Python that is new enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' $(CONSTRAINTS))
C_SOURCES = $(shell find firmware boards codegen tests -name '*.[ch]' -not -path '*/golden/*')
CLANG_FORMAT := $(shell command -v clang-format-14 || echo clang-format)
# One thread per process: the tests already use every core.
TEST_ENV := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
PYTEST_FLAGS ?= -n auto --dist worksteal
SECONDS ?= 60
RUNS ?= 20000

.PHONY: setup system demo test lint pytest format docs reference budgets fuzz fuzz-loader fuzz-models interrupt experiment clean

demo: setup
	$(BIN)/python -m nestnet.cli.demo

test: setup lint pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(CLANG_FORMAT) --dry-run --Werror $(C_SOURCES)

pytest: setup
	$(TEST_ENV) $(BIN)/python -m pytest $(PYTEST_FLAGS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(CLANG_FORMAT) -i $(C_SOURCES)

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo build/docs/index.html

reference: setup
	$(BIN)/python docs/reference/generate.py

budgets: setup
	$(TEST_ENV) $(BIN)/python -m tests.e2e.budgets

fuzz: setup
	$(BIN)/python -m tests.fuzz.decoders --seconds $(SECONDS)

fuzz-loader: setup
	$(BIN)/python -m tests.fuzz.loader --seconds $(SECONDS)

interrupt: setup
	$(TEST_ENV) $(BIN)/python -m tests.e2e.interrupts --runs $(RUNS)

fuzz-models: setup
	$(TEST_ENV) $(BIN)/python -m tests.fuzz.models --seconds $(SECONDS)

experiment: setup
	$(TEST_ENV) $(BIN)/python -m experiments $(NAME) $(ARGS)

setup: system $(VENV)/installed

system:
	@./.ci/system-packages

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11 or newer; install one, or make setup PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	@# The plain wheel for x86-64 Linux brings gigabytes of CUDA; other platforms have no +cpu build.
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	    echo "Installing torch $(TORCH_VERSION)+cpu"; \
	    $(BIN)/python -m pip install -q --no-deps $(addprefix --index-url=,$(TORCH_INDEX)) \
	        "torch==$(TORCH_VERSION)+cpu" || \
	    echo "No CPU build of torch found (TORCH_INDEX=URL names an index that has it);" \
	        "installing the package index's torch $(TORCH_VERSION), a large download"; \
	fi
endif
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

clean:
	rm -rf build dist

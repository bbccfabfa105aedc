# Two commands do everything: `make demo` and `make test`. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.PHONY: demo test check bench clean

demo: $(VENV)/.user  ## install, hold the contest on scikit-learn's digits, say where the report is
	$(BIN)/topfive contest digits --minutes 4 --out runs/digits

test: $(VENV)/.developer  ## what CI runs: format, lint, types, tests with doctests
	$(MAKE) check
	$(BIN)/python -m pytest

check: $(VENV)/.developer  ## format, lint and types alone
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

bench: $(VENV)/.developer  ## every claim of speed, beside its peer, on this machine
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:  ## remove what is made again by itself; runs/ is not, trained models lie there
	rm -rf $(VENV) build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.python: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "topfive needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name one by make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	# torch first and alone: by its pinned version it is the CPU build, not gigabytes of CUDA.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	touch $@

$(VENV)/.user: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.developer: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	# The peers; alone, since their own wish for a torch would bring gigabytes of CUDA.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt torchvision timm opencv-python-headless
	touch $@ $(VENV)/.user

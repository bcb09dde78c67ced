# make demo: everything from nothing to a trained model. make test: lint, types and tests with coverage.
# Both set up .venv when it is missing or when pyproject.toml or constraints.txt changed. PYTHON=... picks the interpreter.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
SETTINGS := pyproject.toml constraints.txt
USABLE = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# Looked up only when .venv is made. A candidate counts when it runs, is 3.11 or newer, and can make environments.
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.13,$(shell $(p) -c "$(USABLE)" 2>/dev/null && echo $(p))))

.PHONY: demo test lint wheel-test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/mep-hw train --backend crossbar --data digits --model 64-24-10 --seed 0

test: lint $(VENV)/.lava
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term-missing:skip-covered --cov-fail-under=90

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python

wheel-test: $(VENV)/.installed-dev
	bash .ci/wheel_test.sh $(BIN)/python

clean:
	rm -rf $(VENV) dist build .coverage htmlcov .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.installed: $(SETTINGS) $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(SETTINGS) $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

# Lava in a Python 3.10 of its own, in the user's cache folder; tests that need it are skipped where there is no 3.10.
$(VENV)/.lava: $(VENV)/.installed-dev
	$(BIN)/mep-hw loihi setup --if-possible
	@touch $@

$(BIN)/python:
	@python='$(PYTHON)'; \
	if [ -z "$$python" ] || ! "$$python" -c "$(USABLE)" 2>/dev/null; then \
	  echo "mep-hw needs Python 3.11 or newer with venv; found: $$("$${python:-python3}" --version 2>&1 || true)." >&2; \
	  echo "Install it (Debian: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	"$$python" -m venv --clear $(VENV)

# make app                      the web demo on http://127.0.0.1:7860
# make test                     the test suite, a process a core
# make avatar VIDEO=selfie.mp4  one avatar into out/selfie/
#
# A Linux machine without an NVIDIA GPU saves gigabytes with TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
OUT ?= out
TORCH_INDEX ?=
APP_ARGS ?=
PYTEST_ARGS ?=
NPM := tests/npm

.PHONY: app test avatar clean

app: $(VENV)/app.stamp
	$(BIN)/python app.py $(APP_ARGS)

avatar: $(VENV)/app.stamp
	@test -n "$(VIDEO)" || { echo "Say which video: make avatar VIDEO=selfie.mp4"; exit 2; }
	@$(BIN)/python -m studio_avatar "$(VIDEO)" -o "$(OUT)"

test: $(VENV)/dev.stamp $(NPM)/node_modules/.package-lock.json
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder --check-skips $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(NPM)/node_modules

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; '$(PYTHON)' was not found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "Python 3.11 or newer is needed; '$(PYTHON)' is older. Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	|| { echo "Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# A stamp is as new as the newest list of requirements that is installed.
$(VENV)/app.stamp: requirements.txt | $(BIN)/python
	@echo "Installing what running needs (once, a few minutes) ..."
	@$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) "$$(grep '^torch==' requirements.txt)")
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/app.stamp
	@echo "Installing what the tests need (once) ..."
	@$(PIP) -e ".[dev]"
	@touch $@

# Without npm, or where its registry cannot be reached, the tests that need these packages are skipped and say so.
$(NPM)/node_modules/.package-lock.json: $(NPM)/package-lock.json
	@echo "Installing what reads our files back (once; npm) ..."
	@command -v npm >/dev/null && npm ci --prefix $(NPM) --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error \
	&& touch $@ || echo "npm could not install it: its tests will be skipped."

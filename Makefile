# From a fresh clone, with only Python 3.11+ and make: `make demo`, `make test`.

# The first interpreter here that is new enough; name another with `make PYTHON=... demo`.
CANDIDATES := python3 python3.13 python3.12 python3.11 python
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c "$(IS_NEW)" >/dev/null 2>&1 && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test soak check docs package bench figures notebooks clean

demo: $(VENV)/.installed
	$(BIN)/python examples/vqe_h2.py

# Side by side, each process with a half of the tests and its own devices.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# The long form of the reliability tests: thousands of kills, two hundred loops in storms of faults,
# fifty thousand evaluations at once.
soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --soak -v -s tests/journal/test_kill.py tests/runtime/test_kill_on_a_service.py \
	  tests/runtime/test_storms.py tests/test_load.py

# In a notebook a function of one's own may be without types, and a name may be used twice.
UNTYPED := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-redefinition

check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/nbqa mypy examples/notebooks $(UNTYPED)
	$(BIN)/lint-imports

# The site, in build/docs; without a network. A warning, a link that leads nowhere and a public name
# without a page are errors.
docs: $(VENV)/.installed-dev
	$(BIN)/python docs/build.py build/docs

# Wheel and sdist in fresh environments, on every Python that is found: installed, used and tested, with
# every extra and without. An hour of two free cores.
package: $(VENV)/.installed-dev
	$(BIN)/python tests/packaging/clean_install.py

# All of them run, whatever the first ones find; in the end it fails if one has missed a target.
bench: $(VENV)/.installed-bench
	@missed=; for benchmark in dispatch_overhead tape_cost journal_cost executors scheduler_scale \
	  contention package_cost evaluation_cost layouts oracle_cost speculation_rounds tolerance; do \
	  echo "== $$benchmark"; $(BIN)/python benchmarks/$$benchmark.py || missed="$$missed $$benchmark"; \
	done; test -z "$$missed" || { echo "missed a target:$$missed"; exit 1; }

figures: $(VENV)/.installed-dev
	for figure in convergence drift layout_gains placement rounds sentinel served shares shifts \
	  timeline waterfall; do \
	  $(BIN)/python docs/figures/$$figure.py || exit 1; done

# Runs them in full and keeps what they show.
notebooks: $(VENV)/.installed-dev
	$(BIN)/python examples/notebooks/execute.py

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
	  echo "efaas needs Python 3.11 or newer; found: $$(python3 --version 2>&1)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c "$(IS_NEW)" || { \
	  echo "efaas needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A changed pyproject.toml installs again; otherwise a second call starts at once.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plot]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plot,dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plot,dev,bench]'
	@touch $@

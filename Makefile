# Two commands do everything on a plain Debian 12 with Python 3.11 (venv), git, gcc and make:
#   make demo     sets up, sweeps the example on the emulated cluster, shows the table
#   make test     sets up, checks the code, runs every test (`make quick`: those for the desk)

PYTHON ?= python3
# Twice as many as cores, and three times for `make test`, whose tests mostly wait for processes,
# clusters and graces.
WORKERS ?= 4
# More arguments for pytest: make test PYTEST_ARGS="-k journal"
PYTEST_ARGS ?=

# A file of versions: make test CONSTRAINTS=packaging/dev-requirements.txt
CONSTRAINTS ?=
# What a task may import; it runs in the interpreter that a manifest names.
TASK_FILES := $(addprefix hpcsweep/,cache/files conditions logbook manifest/frozen.py manifest/policies.py sources \
	submission/check.py sweepdir worker executor/pickles.py executor/task.py) $(wildcard hpcsweep/*.py)

VENV := .venv
BIN := $(VENV)/bin
SWEEP := examples/oscillator/outputs/oscillator

.DEFAULT_GOAL := help
.PHONY: help demo quick test docker-test cluster cluster-down coverage clients public-types soak docs package lint format clean \
	system-packages bytecode lint-types lint-task-types lint-style lint-imports
# A recipe that is interrupted leaves no stamp behind.
.DELETE_ON_ERROR:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/package.stamp ## sweep examples/oscillator on the emulated cluster and show the table
	$(BIN)/hpcsweep submit examples/oscillator/manifest.json --cluster emulated --wait
	$(BIN)/hpcsweep collect $(SWEEP)
	$(BIN)/hpcsweep collect $(SWEEP) --format csv --output $(SWEEP).csv
	@echo
	@echo "The table:            $(SWEEP).csv"
	@echo "The run directories:  $(SWEEP)/runs/log_*"

quick: $(VENV)/dev.stamp bytecode ## run the unit and property tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup tests/unit tests/property $(PYTEST_ARGS)

test: WORKERS = 6
test: $(VENV)/dev.stamp system-packages lint bytecode ## check the code and run every test
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

docker-test: $(VENV)/dev.stamp system-packages bytecode ## run the tests that need containers: three Slurms, real nodes
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --timeout 2700 tests/docker $(PYTEST_ARGS)

cluster: ## start a Slurm cluster in containers (SLURM=22.05|24.11|26.05)
	@$(PYTHON) docker/cluster.py up

cluster-down: ## remove that cluster and its volumes
	@$(PYTHON) docker/cluster.py down

coverage: $(VENV)/dev.stamp ## measure which branches the unit and property tests reach
	$(BIN)/python -m pip install --quiet --group coverage
	$(BIN)/pytest -n 2 --dist loadgroup --cov --cov-report term tests/unit tests/property $(PYTEST_ARGS)

clients: $(VENV)/dev.stamp $(VENV)-clients/clients.stamp ## run other people's Slurm clients on the emulated cluster
	$(BIN)/pytest tests/clients $(PYTEST_ARGS)
	$(BIN)/python -m tests.support.idioms

public-types: $(VENV)/dev.stamp ## check that the type of every public name is known
	$(BIN)/python -m pip install --quiet --group types
	$(BIN)/python -m tests.support.public_types

soak: $(VENV)/dev.stamp system-packages ## full figures, the campaign, an hour of fuzzing, the benchmarks (long)
	$(BIN)/pytest -n 2 --dist loadgroup --soak --timeout 7200 $(PYTEST_ARGS)
	$(BIN)/python -m tests.faults.campaign
	@$(MAKE) --no-print-directory public-types
	-$(BIN)/python -m pip install --quiet --group fuzz
	$(BIN)/python -m tests.fuzz --seconds 3600
	@set -e; for script in $(wildcard benchmarks/*.py); do \
		echo "$$script"; \
		$(BIN)/python "$$script"; \
	done

# The theme prints an advertisement of its successor unless told otherwise.
docs: $(VENV)/dev.stamp ## build the documentation site in build/site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

package: $(VENV)/dev.stamp ## build sdist and wheel in dist/, and check them and the conda recipe
	$(BIN)/python -m pip install --quiet --group package
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python -c "from rattler_build import Stage0Recipe; Stage0Recipe.from_file('packaging/conda/recipe.yaml').render()"

# Two checks at once: mypy, which takes longest, uses one core.
lint: $(VENV)/dev.stamp ## check style, types and the direction of imports
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint-types lint-task-types lint-style lint-imports

lint-types: $(VENV)/dev.stamp
	$(BIN)/mypy

lint-task-types: $(VENV)/dev.stamp
	$(BIN)/mypy --python-version 3.10 --disable-error-code no-any-return --exclude '/launcher\.py$$' $(TASK_FILES)

lint-style: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports --no-cache

format: $(VENV)/dev.stamp ## put the code into its standard form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove the virtual environment and the caches; results in outputs/ stay
	rm -rf $(VENV) $(VENV)-clients build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./outputs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# -- set-up: each stamp is made once, and again when pyproject.toml changes ------------------------

system-packages:
	@$(PYTHON) tests/support/packages.py

# Where Python shall write no bytecode, each of the thousands of processes of a test run would compile
# what it imports.
bytecode: $(VENV)/dev.stamp
	@$(BIN)/python -m compileall -q -j 2 hpcsweep tests

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) makes no virtual environments here: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/package.stamp: pyproject.toml $(VENV)/venv.stamp
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# Where a package cannot be had its test is skipped.
$(VENV)-clients/clients.stamp: tests/clients/requirements.txt
	$(PYTHON) -m venv $(VENV)-clients
	@while read -r package; do \
		$(VENV)-clients/bin/python -m pip install --quiet "$$package" || echo "without $$package"; \
	done <$<
	@touch $@

# pip knows --group since 25.1.
$(VENV)/dev.stamp: pyproject.toml $(VENV)/venv.stamp
	$(BIN)/python -m pip install --quiet --editable . --group dev $(addprefix --constraint ,$(CONSTRAINTS))
	@touch $(VENV)/package.stamp $@

# Only Python 3.11 or newer and make are assumed. The first run sets up .venv, the next ones start at once.
#
#   make run       serve ./data             ARGS='--nats nats://…' is passed on; PYTHON= chooses the Python
#   make run-cluster   three nats-servers and three members in ./cluster, to try out      ARGS='--members 5'
#   make test      lint, types, import contract and tests             ARGS='-k claim' is passed to pytest
#   make prove     the long counts: minutes, not seconds              ARGS= likewise
#   make lab       an hour of experiments against what is promised   ARGS='--minutes 5 --only NAME --seed N --trials 1'
#   make bench     what this machine makes of it, with peers beside it  ARGS='--only alone --json FILE', say
#   make bench-gate BASE=main~1   whether this copy is slower than a commit, both in turns; exits with 1 if so
#   make reference write docs/reference.md anew: from the program, with examples that are really sent
#   make client    write what the clients in Python and TypeScript have of the messages anew
#   make credential-rules   write the shapes of credentials anew, from a clone of gitleaks    GITLEAKS=../gitleaks
#   make samples   add recorded events for types that have none yet; those that are there stay as they are
#   make formats   record the shapes of what is kept and sent; one that changed needs another number
#   make sample    write the sample backups of docs/notebook anew
#   make install   only set up what `make run` needs
#   make lock      write uv.lock and build-requirements.txt anew after a change in pyproject.toml
#                                          ARGS=--upgrade takes the newest packages
#   make sbom      write dist/sbom.cdx.json, what the program is made of      ARGS='--extra s3' instead of all extras
#   make licences  write THIRD-PARTY-LICENSES.md anew, which a new lock needs
#   make audit     ask an index of advisories about what uv.lock pins; says so where none can be reached
#   make clean     remove the environment and all caches, never ./data

VENV := .venv
BIN := $(VENV)/bin
# Installs what uv.lock says, each file by its hash. It and what builds the program come likewise, from
# build-requirements.txt, so that nothing is taken only because it has a name.
UV := UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv
# What somebody has put beside it stays, as uv itself. Compiled, as pip does it, so that a first start is as quick as
# the next ones, and tests that wait for one, too.
SYNC := $(UV) sync --quiet --frozen --inexact --compile-bytecode --no-build-isolation-package hyperpage-persistence
# What the lock says of the program, as a bill of materials that supply/materials.py completes.
LOCKED := $(UV) export --quiet --frozen --no-dev --format cyclonedx1.5
# Three workers for two cores (tests/conftest.py), since tests also wait. The tests of a file stay together
# and in order, since some share a service. Files run in the order of their folders: unit tests, the quickest, are last
# and fill what the long ones leave. `ARGS=-n0` is one process, as `--pdb` needs.
ON_ALL_CORES := --numprocesses=auto --dist=loadfile --no-loadscope-reorder

# Modules are compiled once, whatever the environment says: tests start hundreds of services and commands.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := run
.PHONY: run run-cluster test prove lab bench bench-gate reference client credential-rules sample samples formats install lock sbom licences audit clean

# `exec` leaves no shell between make and the service: a signal to make reaches the service, which drains.
run: $(VENV)/.runtime
	@HYPERPAGE_CONSOLE_LINK=$${HYPERPAGE_CONSOLE_LINK:-always} exec $(BIN)/hyperpage serve --data ./data $(ARGS)

run-cluster: $(VENV)/.runtime
	@exec $(BIN)/hyperpage cluster run $(ARGS)

test: $(VENV)/.development
	@$(UV) lock --check --quiet || { echo "error: pyproject.toml asks for what uv.lock does not have: run" \
	    "\`make lock\` and commit both." >&2; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry domain migrations bus projections ops supply clients
	$(BIN)/deptry --ignore DEP002,DEP004 tests docs # may import what only developing needs, and need not all
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest $(ON_ALL_CORES) $(ARGS)

# An hour for one test instead of two minutes: these are meant to take long. And what is promised within a time
# has that time, and not several times as long (tests/support/patience.py); laws are tried with all of their examples
# (tests/support/examples.py).
prove: $(VENV)/.development
	PATIENCE=1 EXAMPLES=all $(BIN)/pytest -m prove --timeout=3600 $(ARGS)

lab: $(VENV)/.development
	$(BIN)/python -m tests.lab $(ARGS)

bench: $(VENV)/.development
	$(BIN)/python -m tests.benchmarks.table $(ARGS)

bench-gate: $(VENV)/.development
	$(BIN)/python -m tests.benchmarks.gate $(or $(BASE),$(error name a commit to compare with: BASE=main~1)) $(ARGS)

# What is written anew is ours alone, whatever aggregates of others are installed beside us.
reference client sample samples formats: export HYPERPAGE_AGGREGATES := none

# Not into the page itself: it would be empty where this fails.
reference: $(VENV)/.development
	$(BIN)/python -m tests.support.documents.reference_examples > $(VENV)/reference.md
	mv $(VENV)/reference.md docs/reference.md

client: $(VENV)/.development
	$(BIN)/python -m supply.python_client
	$(BIN)/python -m supply.typescript_client

# Not into the module itself: it would be empty where this fails.
credential-rules: $(VENV)/.development
	$(BIN)/python -m tests.support.domain.gitleaks_rules $(GITLEAKS) > $(VENV)/rules.py
	mv $(VENV)/rules.py domain/credentials/gitleaks/rules.py
	git -C $(GITLEAKS) show HEAD:LICENSE > domain/credentials/gitleaks/LICENSE

sample: $(VENV)/.development
	$(BIN)/python -m tests.support.documents.sample_history docs/notebook/sample

samples: $(VENV)/.development
	$(BIN)/python -m tests.support.domain.event_samples

formats: $(VENV)/.development
	$(BIN)/python -m tests.support.documents.kept_formats

sbom: $(VENV)/.development
	@mkdir -p dist
	$(LOCKED) $(or $(ARGS),--all-extras) | $(BIN)/python supply/materials.py > $(VENV)/sbom.json
	mv $(VENV)/sbom.json dist/sbom.cdx.json

licences: $(VENV)/.development
	$(LOCKED) --all-extras | $(BIN)/python supply/materials.py --licences > $(VENV)/licences.md
	mv $(VENV)/licences.md THIRD-PARTY-LICENSES.md

audit: $(BIN)/uv
	@.ci/audit

install: $(VENV)/.runtime

lock: $(BIN)/uv
	$(UV) lock $(ARGS)
	$(UV) export --quiet --frozen --only-group build --no-emit-project --no-header --no-annotate \
	    --output-file build-requirements.txt

clean:
	rm -rf $(VENV) .benchmark build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Editable: a change of the code needs no new installation, only one of the dependencies does.
$(VENV)/.runtime: pyproject.toml uv.lock $(BIN)/uv
	@echo "Installing what running needs into $(VENV), once …"
	@$(SYNC)
	@touch $@

$(VENV)/.development: pyproject.toml uv.lock $(VENV)/.runtime
	@echo "Installing what developing needs into $(VENV), once …"
	@$(SYNC) --group dev
	@touch $@

$(BIN)/uv: build-requirements.txt $(BIN)/python
	@# An environment that uv made has no pip.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes \
	    --only-binary=:all: --requirement build-requirements.txt
	@touch $@

# The first Python that is new enough and can make environments. Each is run, not only looked for: a version
# switcher's stand-in is found on the path although its Python is not there. Debian and Ubuntu ship `venv`
# without what it needs (`ensurepip`) unless python3-venv is installed.
$(BIN)/python:
	@too_old=''; without_venv=''; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	        too_old="$$too_old $$python=$$version"; \
	    elif ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	        without_venv="$$python"; needed="python$$version-venv"; \
	    else \
	        echo "Making $(VENV) with $$python ($$version)"; \
	        exec $$python -m venv --clear $(VENV); \
	    fi; \
	done; \
	if [ -n "$$without_venv" ]; then \
	    echo "error: $$without_venv cannot make environments. Install its venv module" \
	         "(Debian, Ubuntu: apt-get install $$needed) and try again." >&2; \
	else \
	    echo "error: Python 3.11 or newer is needed, and was not found (seen:$${too_old:- none})." \
	         "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	fi; \
	exit 1

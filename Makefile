# Needs make and Python >= 3.11, nothing else. `make help` lists the targets.
.DEFAULT_GOAL := help
BIN := .venv/bin
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# The first Python that is new enough and can make a virtualenv; a name may exist and still not run (pyenv's shims).
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3 python3.14 python
CAN_INSTALL := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
NO_PYTHON := Numen needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3 python3-venv)
define INSTALL
@for python in $(PYTHONS) none; do "$$python" -c '$(CAN_INSTALL)' 2>/dev/null && break; done; \
test "$$python" != none || { echo "$(NO_PYTHON)" >&2; exit 1; }; "$$python" backend/scripts/install.py
endef

.PHONY: help run setup check fix test test-fuzz test-crash test-soak test-browser bench-memory bench-memory-updates \
	bench-memory-scale bench-voice bench-crisis migrate openapi lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1	\2/p' Makefile | expand -t 24

run: setup ## install what is missing and serve: database, migrations, seed and default agents included
	@exec $(BIN)/numen serve

setup: ## install what Numen runs on into .venv
	$(INSTALL)

check: dev ## formatting, lint, types and layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

fix: dev ## format, and repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: dev ## all tests, with coverage
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

test-fuzz: dev ## all hostile requests, thousands made up from the OpenAPI document, 5,000 searches for canaries
	NUMEN_TEST_THOROUGH=1 $(BIN)/pytest backend/tests/api/test_hostile.py backend/tests/api/test_fuzz.py \
	    backend/tests/gateways/test_mem0_isolation.py

test-crash: dev ## kill a working server a hundred times, in workflows, and one that erases somebody
	NUMEN_TEST_KILLS=100 $(BIN)/pytest backend/tests/api/test_crash.py
	NUMEN_TEST_KILLS=25 $(BIN)/pytest backend/tests/api/test_work_crash.py
	NUMEN_TEST_KILLS=24 $(BIN)/pytest backend/tests/api/test_erasure.py -k killed

test-browser: dev ## talk with an agent in a real browser, Chromium (Debian, Ubuntu: apt install chromium)
	$(BIN)/pytest backend/tests/browser

test-soak: dev ## ten thousand conversations by voice, which must leave no memory
	NUMEN_TEST_SESSIONS=10000 $(BIN)/pytest backend/tests/api/test_voice_socket.py -k leave_no_memory

bench-memory: dev ## how well memory finds what was said: make bench-memory DATA=conversations.json SPLIT=ids.txt
	$(BIN)/python -m benchmarks.memory_retriever --data $(DATA) --split $(SPLIT)

bench-memory-updates: dev ## whether a new fact wins against the old one
	$(BIN)/python -m benchmarks.knowledge_updates

bench-memory-scale: dev ## how fast memory is among many: make bench-memory-scale MEMORIES=20000
	$(BIN)/python -m benchmarks.memory_scale --memories $(or $(MEMORIES),20000)

bench-voice: dev ## how fast a spoken turn is: end of speech to first audio, interruption to silence
	$(BIN)/python -m benchmarks.voice_turns --turns $(or $(TURNS),50)

bench-crisis: dev ## whether the crisis gate fires where it must, and only there: precision and recall
	$(BIN)/python -m benchmarks.crisis_gate

migrate: setup ## bring the database's schema up to date
	$(BIN)/numen migrate

openapi: dev ## write docs/openapi.json anew
	$(BIN)/python -m backend.scripts.export_openapi

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --annotation-style line
lock: dev ## resolve the dependencies of pyproject.toml anew (UPGRADE=--upgrade takes the newest versions)
	$(LOCK) $(UPGRADE) pyproject.toml -o requirements.lock
	$(LOCK) $(UPGRADE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) $(UPGRADE) --group bootstrap -o requirements-bootstrap.lock

clean: ## remove .venv and what tools left behind; your data stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage* htmlcov
	find backend examples -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: dev
dev:
	$(INSTALL) --dev

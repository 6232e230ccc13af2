# `make run` starts Leadhook on this machine, `make test` tests it. Both need only Python 3.11 or newer, make and git.
.DEFAULT_GOAL := help
.PHONY: help run test quick check format bench soak receivers clients lock
MAKEFLAGS += --no-print-directory

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start everything on this machine; Ctrl-C stops it
	@sh scripts/install.sh requirements.txt
	@exec .venv/bin/python -m webapp.run

test: ## run everything CI runs: lint, types, templates, all tests on SQLite and PostgreSQL
	@sh scripts/install.sh requirements.txt requirements-test.txt
	@FOLDER=mcp1 sh scripts/install.sh requirements-mcp1.txt
	@sh scripts/test.sh

quick: ## before each commit, under a minute: lint, types, and the quickest tests, on SQLite
	@sh scripts/install.sh requirements.txt requirements-test.txt
	@sh scripts/quick.sh

check: ## lint, types and templates only
	@sh scripts/install.sh requirements.txt requirements-test.txt
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/djlint --quiet --lint webapp/templates

format: ## format the code
	@sh scripts/install.sh requirements.txt requirements-test.txt
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: ## benchmark it against peers and limits, 100 minutes; ARGS=--quick is shorter, see docs/benchmarks.md
	@sh scripts/install.sh requirements.txt requirements-bench.txt
	@.venv/bin/python -m tests.bench $(ARGS)

soak: ## run it behind real proxies, then cause faults for half an hour; ARGS="--seed N --database postgresql"
	@sh scripts/install.sh requirements.txt requirements-test.txt
	@sh scripts/soak.sh $(ARGS)

receivers: ## run vendors' own software against Leadhook, such as n8n and libraries; needs npm, Go, Maven, and apt as root
	@sh scripts/install.sh requirements.txt requirements-test.txt
	@.venv/bin/python -m tests.receivers.robots
	@.venv/bin/python -m tests.receivers.signatures
	@.venv/bin/python -m tests.receivers.webhook_daemon
	@.venv/bin/python -m tests.receivers.firewall
	@.venv/bin/python -m tests.receivers.presets
	@.venv/bin/python -m tests.receivers.oauth
	@.venv/bin/python -m tests.receivers.samples
	@.venv/bin/pytest -s tests/receivers/libraries.py tests/receivers/n8n.py tests/receivers/mcp.py \
		tests/receivers/zapier.py tests/receivers/n8n_trigger.py

clients: ## generate clients of the REST API with four generators, and run them against Leadhook; needs npm and Java
	@sh scripts/install.sh requirements.txt requirements-test.txt
	@.venv/bin/pytest tests/clients/generated.py

# Pins for every Python from 3.11 up and every platform, with the hashes of all files; no package index is named.
LOCK = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: ## pin the newest packages that pyproject.toml allows
	@python3 -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --upgrade uv
	@$(LOCK) pyproject.toml --output-file requirements.txt
	@$(LOCK) --group pyproject.toml:test --constraint requirements.txt --output-file requirements-test.txt
	@$(LOCK) --group pyproject.toml:mcp1 --no-deps --output-file requirements-mcp1.txt
	@$(LOCK) --group pyproject.toml:clients --constraint requirements.txt --constraint requirements-test.txt \
		--output-file tests/clients/requirements.txt
	@$(LOCK) --group pyproject.toml:bench --constraint requirements.txt --constraint requirements-test.txt \
		--output-file requirements-bench.txt

# `make` alone shows what there is. What a target needs, it sets up by itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := $(CURDIR)/.cache/venv
TOOLS := $(CURDIR)/.cache/tools
export PATH := $(VENV)/bin:$(TOOLS):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
# Runs a command as root, where podman works (molecule/shared/testbed.py)
TESTBED := python3 molecule/shared/testbed.py
ENTER := $(TESTBED) enter
RUNNER := python3 molecule/shared/runner.py
SCENARIOS := $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))
# Longest first, so that none runs on alone at the end, and what takes many inotify instances apart (testbed.py).
LONG := default restore_drill backup edge backup_store status_page watchdog bugsink postgres_exporter postgresql nginx certbot grafana
MIDDLE := forecaster victoriametrics health tls firewall prometheus alertmanager agent mtail sensor_service
ROLE ?=
KILLS ?= 20
PART ?=
ASK ?=

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.txt molecule/shared/bootstrap
	@molecule/shared/bootstrap $(VENV) $(TOOLS)
	@touch $@

setup: $(VENV)/.ready ## Install the control node's tools below .cache
	@$(TESTBED) prepare

demo: setup ## Build a monitored host in a container, verify it, say where it answers
	@$(ENTER) python3 molecule/shared/demo.py up

demo-down: setup ## Remove the demo: containers, network, namespace
	@$(ENTER) python3 molecule/shared/demo.py down

demo-forecast: setup ## In the running demo: samples, models, ML Insights, an anomaly with its alert, a restore
	@$(ENTER) python3 molecule/shared/demo_forecast.py

rebuild-drill: setup ## Lose the demo's host, build it anew from the repository and its backups, compare
	@$(ENTER) python3 molecule/shared/rebuild_drill.py

test: setup ## Everything below but the long fault suite and the benchmark
	@$(ENTER) env KILLS=2 $(RUNNER) test-faults $(addprefix scenario:,$(LONG)) test-unit lint \
		$(addprefix scenario:,$(MIDDLE)) test-rules $(addprefix scenario:,$(filter-out $(LONG) $(MIDDLE),$(SCENARIOS)))

lint: $(VENV)/.ready ## ansible-lint, yamllint, ruff, mypy, shellcheck
	yamllint --strict .
	ruff check .
	ruff format --check .
	mypy plugins molecule/shared tests tools files/agents/src roles/*/dashboards
	shellcheck molecule/shared/bootstrap roles/bugsink/files/fetch_wheels.sh roles/bugsink/files/install_wheels.sh roles/removal/files/packages_to_purge roles/alertmanager/files/check.sh roles/nginx/files/check_certificates.sh roles/grafana/files/check_each.sh roles/grafana/files/fetch_key.sh roles/postgresql/files/check.sh molecule/nginx/certificates.sh molecule/shared/grafana/package/DEBIAN/postinst molecule/shared/grafana/package/DEBIAN/prerm molecule/shared/grafana/package/usr/sbin/grafana-cli molecule/shared/grafana/package/usr/sbin/grafana-server molecule/postgresql/tests/scratch.sh roles/firewall/files/lookout-firewall .ci/run
	ansible-lint

test-unit: $(VENV)/.ready ## Plug-ins, the test bed's own logic, contracts of the repository
	pytest tests/unit tests/contracts tests/agents

test-rules: $(VENV)/.ready ## Every alert fires, stays quiet and resolves (promtool)
	pytest tests/rules

test-role: setup ## One scenario, both releases: make test-role ROLE=prometheus
	@test -n "$(ROLE)" || { echo "which one? ROLE=$(SCENARIOS)" | tr ' ' '|'; exit 2; }
	$(ENTER) molecule test -s $(ROLE)

test-faults: setup ## site.yml killed with -9 at 20 random tasks (KILLS=2 in make test), a backup at 30 moments, full disk, lost host
	$(ENTER) env LOOKOUT_KILLS=$(KILLS) pytest -v tests/faults
	env LOOKOUT_BACKUP_KILLS=$$(( $(KILLS) * 3 / 2 )) pytest tests/agents/backup/test_backup_run.py -k killed

dashboards: $(VENV)/.ready ## Make the dashboards' JSON from their sources, roles/*/dashboards/*.py
	@python -m tools.dashboards.build

$(VENV)/.preview: tools/dashboards/requirements.txt $(VENV)/.ready
	@pip install --quiet --disable-pip-version-check -r $<
	@touch $@

dashboards-preview: setup $(VENV)/.preview ## Draw them with the demo's data; ASK='--prometheus-host HOST', ASK='--url URL'
	@$(ENTER) python -m tools.dashboards.preview $(ASK)

bugsink-requirements: $(VENV)/.ready ## Pin Bugsink anew, with hashes: make bugsink-requirements BUGSINK=2.6.0
	@test -n "$(BUGSINK)" || { echo "which version? BUGSINK=2.6.0"; exit 2; }
	@$(VENV)/bin/python tools/bugsink_requirements.py $(BUGSINK)

password: $(VENV)/.ready ## Ask for a name and a password, print the line for nginx_users
	@$(VENV)/bin/python tools/password.py

bench: setup ## Ratios: the site against a shell script, PostgreSQL against Debian's settings; PART=site, postgresql, watchdog, backup, forecast, edge
	@$(ENTER) python3 tests/bench.py $(PART)

shell: setup ## A shell where `molecule` and `ansible-playbook` work as they do here
	@$(ENTER) $(SHELL)

clean: ## Remove what was made below .cache
	rm -rf .cache

.PHONY: help setup demo demo-down demo-forecast rebuild-drill test lint test-unit test-rules test-role test-faults dashboards dashboards-preview bugsink-requirements password bench shell clean

# Sitekeeper. Two commands: `make demo` and `make test`. Nothing else is needed on a Debian with Python 3.11 or newer.
PY ?= 3
VENV := .venv$(if $(filter-out 3,$(PY)),-$(PY))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := sitekeeper drivers edge cloud_sync office simulators
DEBIAN := mosquitto mbpoll libmodbus-dev gcc libc6-dev chromium fonts-noto-cjk systemd \
	postgresql strace fuse3 libfuse3-3 faketime nftables iproute2 e2fsprogs

INTEROP := tests/interop
CLIENTS := $(INTEROP)/node_modules/.package-lock.json

PEER := .venv-duel/bin/thingsboard-gateway

.PHONY: duel shots demo check test test-virtual test-long test-mutants test-parts test-sites test-kills test-disks test-lines \
	test-demo faults bench mutants release schema lock debian interop clean
.DEFAULT_GOAL := check

$(STAMP): requirements.lock pyproject.toml
	python$(PY) -m venv $(VENV) || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends python3-venv >/dev/null && python$(PY) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## a bad minute of a whole small estate, with every part real
	$(BIN)/sk demo

check: $(STAMP)  ## format, lint, types, imports, licences, unit tests: one minute
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --strict $(addprefix -p ,$(CODE))
	$(BIN)/lint-imports
	$(BIN)/python tests/licences.py
	$(BIN)/pytest -q tests/unit

test: $(STAMP) debian interop  ## everything but full counts: what the integration machine runs
	@$(MAKE) $(TOGETHER) 2 $(BUSY); busy=$$?; $(MAKE) $(TOGETHER) 3 $(WAITING) && exit $$busy

# First what keeps a processor busy, then what waits for real time to pass, so that no clock is watched on a machine that
# has no time; the longest first.
PYTEST := $(BIN)/pytest -q -m "not faults"
TOGETHER := --no-print-directory --keep-going --output-sync=target --jobs
BUSY := test-virtual test-long check test-mutants
WAITING := test-sites test-kills test-parts test-disks test-lines test-demo

INTEGRATION := $(sort $(wildcard tests/integration/test_*.py))
SITES := $(filter tests/integration/test_b% tests/integration/test_c% tests/integration/test_e%,$(INTEGRATION))
FAULTS := $(filter-out tests/faults/test_net_%,$(sort $(wildcard tests/faults/test_*.py)))
KILLS := $(filter %_kills.py %_forgets.py %_ways.py %_death.py,$(FAULTS))
REAL := tests/acceptance/test_demo.py tests/acceptance/test_s1_real_time.py tests/integration/test_modbus_serial_liar.py
LIES := tests/integration/test_bacnet_told_lies.py tests/unit/drivers/mqtt/test_hostile.py
LONG := tests/acceptance/test_s5_virtual.py tests/simulation tests/month

test-virtual:
	$(PYTEST) tests/acceptance $(addprefix --ignore=,$(REAL) $(LONG))

test-long:
	$(PYTEST) $(LONG)

test-mutants:
	$(PYTEST) tests/mutants

test-parts:
	$(PYTEST) tests/contract tests/interop tests/docs $(filter-out $(SITES) $(REAL),$(INTEGRATION))

test-sites:
	$(PYTEST) $(SITES)

test-kills:
	$(PYTEST) $(KILLS)

test-disks:
	$(PYTEST) $(filter-out $(KILLS),$(FAULTS))

test-lines:
	$(PYTEST) tests/faults/test_net_*.py

test-demo:
	$(PYTEST) $(REAL)

faults: $(STAMP) debian  ## the fault tests and the simulation with their full counts
	SITEKEEPER_FULL=1 $(BIN)/pytest -q tests/faults tests/simulation tests/month $(LIES) tests/acceptance/test_sick_devices.py

bench: $(STAMP)  ## one table of all promises, and build/bench.json
	$(BIN)/python -m benchmarks

duel: $(STAMP) debian $(PEER)  ## against ThingsBoard Gateway: the same devices, the same broker, the same faults
	$(BIN)/python -m benchmarks.duel

$(PEER):
	python$(PY) -m venv .venv-duel
	.venv-duel/bin/python -m pip install --quiet --disable-pip-version-check thingsboard-gateway==3.8.5

mutants: $(STAMP) debian  ## deliberately broken variants: each must turn a named test red
	$(BIN)/pytest -q tests/mutants

release: test faults bench  ## everything

shots: $(STAMP) debian  ## the screenshots in docs, from the running demo
	$(BIN)/python -m tests.shots

schema: $(STAMP)  ## regenerate config/schema
	$(BIN)/sk config schema --write

lock:  ## resolve pyproject.toml anew (needs uv); hashes, no URLs
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra dev pyproject.toml --output-file requirements.lock

debian:  ## Debian packages that tests hold us against
	@missing="$$(for p in $(DEBIAN); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done)"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then echo "not installed, tests that need them are skipped:" $$missing; fi

interop: $(CLIENTS)  ## clients from npm that our simulators are held against; node is taken from Debian if there is none

$(CLIENTS): $(INTEROP)/package-lock.json
	@command -v npm >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; }
	@if command -v npm >/dev/null; then \
		cd $(INTEROP) && npm ci --silent --ignore-scripts --no-audit --no-fund --omit=optional && touch node_modules/.package-lock.json || \
			{ [ "$$CI" != true ] && echo "npm could not install the clients; tests that need them are skipped"; }; \
	else echo "not installed, tests that need it are skipped: npm"; fi

clean:
	rm -rf $(INTEROP)/node_modules .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .run

# make help lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
FUZZTIME ?= 60s
# What `make loadtest` runs.
SCENARIO ?= steady
# Revision that `make bench-gate` compares with, and a file to lock meanwhile.
BASE     ?=
LOCK     ?=
# Further flags of bench-peers, bench-growth, bench-forward, bench-gate-prove
# and structure.
ARGS     ?=
# The tree that `make structure` reads.
DIR      ?= .
VM       := github.com/VictoriaMetrics/VictoriaMetrics
TELEGRAF := custom,inputs.http_listener_v2,parsers.json,outputs.influxdb,serializers.influx
# Where `make run` keeps its data.
DATA_DIR ?= ./penstock-data
TOOLS    := build/tools

SCREENSHOTS := $(CURDIR)/build/screenshots

.PHONY: help build fleet run demo screenshots test test-faults lint structure fuzz bench bench-gate bench-gate-short bench-gate-prove bench-peers bench-growth bench-forward k6 loadtest docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/penstock
	$(GO) build -trimpath -o bin/penstock ./cmd/penstock

run: build ## Build and serve with the embedded store; prints where to POST and where to look
	exec bin/penstock serve --data-dir $(DATA_DIR)

fleet: ## Build bin/fleet, the simulated fleet and load generator
	$(GO) build -trimpath -o bin/fleet ./loadtest/cmd/fleet

demo: build fleet ## make run, with a simulated fleet that posts to it
	.ci/demo build/demo

screenshots: ## Open each page of vmui on the demo's data: pictures in build/screenshots, the graph's in docs/images/vmui.png too
	.ci/install
	mkdir -p $(SCREENSHOTS) docs/images
	$(GO) test -count=1 -run '^TestVMUI$$' ./cmd/penstock/e2e -pictures $(SCREENSHOTS)
	cp $(SCREENSHOTS)/query.png docs/images/vmui.png

test: ## Run all tests with the race detector
	.ci/install
	$(GO) test -race -timeout 25m ./...
	$(GO) test ./sink/delivery/progress
	$(GO) test -C bench/peers ./...
	$(GO) test -C bench/gate -race ./...
	$(GO) test -C ingest/dialect/oracle ./...

test-faults: ## The long forms of the fault tests (kill -9, power cuts, full disks, torn logs, networks); takes root and an hour
	.ci/install
	PENSTOCK_FAULTS=1 $(GO) test -count=1 -v -timeout 90m -run 'TornTail|GarbageSectors|BitFlips|Crashes|EveryCallFails|KillNine|PowerCut|StoreAway|JournalDiskFull|SyncError|RemoteFaults|StoreKilled|FilteredSinkAway' ./ingest/journal ./cmd/penstock/e2e

lint: $(TOOLS)/golangci-lint ## gofmt, and golangci-lint with what .golangci.yml says
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w $$unformatted"; exit 1; fi
	$(TOOLS)/golangci-lint run ./... ./.ci/structure
	$(GO) vet -C bench/gate ./...
	$(GO) vet -C bench/peers ./...
	$(GO) vet -C ingest/dialect/oracle ./...

structure: ## Print files, lines, exported names and imports per package, large structs, repetitions [DIR=.] [ARGS=flags]
	@$(GO) run ./.ci/structure $(ARGS) $(DIR)

fuzz: ## Fuzz the decoder and line protocol, in and out, and remote write out, against other implementations, each for FUZZTIME (60s)
	$(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(FUZZTIME) ./ingest/decode
	$(GO) test -run '^$$' -fuzz '^FuzzLines$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./ingest/dialect/influx
	$(GO) test -run '^$$' -fuzz '^FuzzEncoder$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./sink/remotewrite
	$(GO) test -run '^$$' -fuzz '^FuzzLine$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./sink/influx

fuzz-dialects: ## Fuzz remote write and OTLP against Prometheus' and OpenTelemetry's own decoders, each for FUZZTIME (60s)
	$(GO) test -C ingest/dialect/oracle -run '^$$' -fuzz '^FuzzRemoteWrite1$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .
	$(GO) test -C ingest/dialect/oracle -run '^$$' -fuzz '^FuzzRemoteWrite2$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .
	$(GO) test -C ingest/dialect/oracle -run '^$$' -fuzz '^FuzzOTLPNames$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .
	$(GO) test -C ingest/dialect/oracle -run '^$$' -fuzz '^FuzzOTLP$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .

bench: bin/bench-gate ## Run the benchmarks of the hot path and print a table
	$(GO) test -run '^$$' -bench . -cpu 1 ./bench | bin/bench-gate table

bench-gate: bin/bench-gate ## Compare the benchmarks with those of BASE=ref, by default the merge base with main (bench/README.md)
	bin/bench-gate -base '$(BASE)' -lock '$(LOCK)'

# The flags of the short gate.
SHORT := -short -rounds 7 -max-rounds 14 -pairs 8 -cpu 0.15 -bench 'Decode|Enrich/devices=10000$$|Limit|JournalAppend|HandOver|store=none|FilteredAway'

bench-gate-short: bin/bench-gate ## The same in a minute or two: allocations, and CPU where a stage takes 15 % more
	bin/bench-gate -base '$(BASE)' -lock '$(LOCK)' $(SHORT)

bench-gate-prove: bin/bench-gate ## Show that the gate raises no false alarm and misses no regression; takes an hour or two [ARGS=flags]
	bin/bench-gate prove -lock '$(LOCK)' $(ARGS)

.PHONY: bin/bench-gate
bin/bench-gate:
	@$(GO) build -C bench/gate -o $(CURDIR)/bin/bench-gate .

bench-peers: build fleet peers ## Run Penstock, VictoriaMetrics, vmagent and Telegraf on the same work; writes docs/benchmarks.md [ARGS=-quick]
	bin/bench-peers compare -lock '$(LOCK)' $(ARGS)

bench-growth: build fleet peers ## Cost per event by number of devices and by size of request; writes docs/benchmarks.md [ARGS=-quick]
	bin/bench-peers growth -lock '$(LOCK)' $(ARGS)

bench-forward: build fleet peers-vm ## Penstock and vmagent, each forwarding R1 to VictoriaMetrics by remote write; writes docs/benchmarks.md [ARGS=-quick]
	bin/bench-peers forward -lock '$(LOCK)' $(ARGS)

# VictoriaMetrics' programs come from the version that Penstock embeds.
# Telegraf takes a minute and many downloads; it is left out where it does
# not build.
.PHONY: peers peers-vm
peers-vm: bin/bench-peers
	$(GO) build -trimpath -o bin/peers/victoria-metrics $(VM)/app/victoria-metrics
	$(GO) build -trimpath -o bin/peers/vmagent $(VM)/app/vmagent

peers: peers-vm
	$(GO) build -C bench/peers/telegraf -trimpath -tags $(TELEGRAF) -o $(CURDIR)/bin/peers/telegraf \
		github.com/influxdata/telegraf/cmd/telegraf || echo 'make: going on without Telegraf' >&2

.PHONY: bin/bench-peers
bin/bench-peers:
	@$(GO) build -C bench/peers -o $(CURDIR)/bin/bench-peers .

k6: bin/k6 ## Build bin/k6, the load generator of loadtest/k6

# Some minutes on a machine that has not built it before.
bin/k6: loadtest/k6/go.mod loadtest/k6/go.sum
	$(GO) build -C loadtest/k6 -trimpath -o $(CURDIR)/bin/k6 go.k6.io/k6/v2
	@touch $@

loadtest: build k6 ## Run a k6 scenario: SCENARIO=smoke|steady|spike|soak|skew|overload|bad-input|reconnect-storm|noisy-neighbour [URL=... OPS_URL=...]
	@loadtest/k6/run $(SCENARIO)

docs: ## Write docs/configuration.md, docs/errors.md and docs/dialects.md from the code
	$(GO) test -count=1 -run '^TestReferencePage$$' ./cmd/penstock/config -update
	$(GO) test -count=1 -run '^Test(Errors|Dialects)Page$$' ./cmd/penstock -update

clean: ## Remove what was built and the demo's data; that of make run stays
	rm -rf bin build

# The tools have a module of their own, so that their requirements are not the
# program's. golangci-lint takes some minutes on a machine that has not built it
# before.
$(TOOLS)/%: .ci/tools/go.mod .ci/tools/go.sum
	GOBIN=$(CURDIR)/$(TOOLS) $(GO) install -C .ci/tools tool
	@touch $@

# Holdfast. `make help` lists the targets; the work is done by scripts/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

FUZZTIME ?= 30s
KILLS    ?= 1000
ARGS     ?=

.PHONY: help demo test build lint fuzz crash bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## three sites charge through an outage, in your terminal (ARGS='--seed 7')
	@bin/holdfast demo --once $(ARGS)

test: ## everything that must hold: lint, cross builds, tests with -race, fuzz smoke, the demo once
	@scripts/test.sh

build: ## bin/holdfast and bin/holdfast-gateway for this machine
	@scripts/build.sh

lint: ## gofmt, go vet, staticcheck, internal/tidy
	@scripts/lint.sh

fuzz: ## every fuzz target for FUZZTIME (FUZZTIME=30s)
	@scripts/fuzz.sh $(FUZZTIME)

crash: ## kill the gateway KILLS times and compare the books (KILLS=1000)
	@scripts/crash.sh $(KILLS)

bench: ## measure, beside floors and peers, into docs/benchmarks.md (ARGS='start calls')
	@scripts/bench.sh $(ARGS)

release: ## everything that is shipped, into dist/: static binaries, debs, OCI images, SBOMs, checksums (VERSION=1.2.3)
	@scripts/release.sh

release-test: ## prove a release: same bytes twice, arm under qemu, installed in a bare Debian
	@scripts/release-test.sh

clean: ## remove what the targets above have built
	@rm -rf bin dist

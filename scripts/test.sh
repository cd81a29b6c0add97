#!/usr/bin/env bash
# Everything that must hold, from a fresh clone: what `make test` and CI run.
# Needs Go; installs what else is missing (scripts/setup.sh). About 25 minutes on
# two cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

step "set up"
scripts/setup.sh

scripts/lint.sh

step "tests, with the race detector"
CGO_ENABLED=1 go test -race -timeout 20m ./...

step "fuzz smoke"
scripts/fuzz.sh 2s

step "the release: built, run, installed"
scripts/release-test.sh

step "the demo, once"
scripts/build.sh
bin/holdfast demo --once

step "all good"

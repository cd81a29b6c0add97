#!/usr/bin/env bash
# Measures, and writes what it found into docs/benchmarks.md and docs/benchmarks.json.
# About five minutes, on a machine that does nothing else.
#
#   scripts/bench.sh                     everything
#   scripts/bench.sh start calls         only these; the others' figures stay as they are
#   scripts/bench.sh -h                  what there is
#
# BENCH_DIR: a directory on the disk that is to be measured (default: bin/).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/build.sh
go build -trimpath -o bin/holdfast-bench ./internal/bench/cmd
ulimit -n "$(ulimit -Hn)"

exec bin/holdfast-bench -dir "${BENCH_DIR:-bin}" -merge -json docs/benchmarks.json -doc docs/benchmarks.md "$@"

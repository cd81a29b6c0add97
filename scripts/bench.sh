#!/usr/bin/env bash
# Measures, and writes what it found into docs/benchmarks.md and bin/bench.json.
# About five minutes, on a machine that does nothing else.
#
#   scripts/bench.sh                     everything
#   scripts/bench.sh start calls         only these; the document stays as it is
#   scripts/bench.sh -h                  what there is
#
# BENCH_DIR: a directory on the disk that is to be measured (default: bin/).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

scripts/build.sh
go build -trimpath -o bin/holdfast-bench ./internal/bench/cmd
ulimit -n "$(ulimit -Hn)"

args=(-dir "${BENCH_DIR:-bin}" -json bin/bench.json)
[ $# -gt 0 ] || args+=(-doc docs/benchmarks.md)
exec bin/holdfast-bench "${args[@]}" "$@"

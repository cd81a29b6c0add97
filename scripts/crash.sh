#!/usr/bin/env bash
# Kills the gateway with SIGKILL at planned points and compares the books with
# what the chargers know.
#
#   scripts/crash.sh [KILLS] [SEED]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

kills=${1:-1000}
[[ "$kills" =~ ^[1-9][0-9]*$ ]] || die "KILLS=$kills: want a number from 1"
export HOLDFAST_CRASH_KILLS="$kills"
[ -z "${2:-}" ] || export HOLDFAST_CRASH_SEED="$2"
exec go test -count=1 -v -timeout 0 -run '^Test(Crash|Controls)' ./internal/crash

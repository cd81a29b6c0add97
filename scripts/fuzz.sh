#!/usr/bin/env bash
# Runs every fuzz target of the repository for a while, one after the other.
# An input that breaks one is written to the package's testdata/fuzz: commit it
# with the fix, it is run by every `go test` from then on.
#
#   scripts/fuzz.sh [TIME]     e.g. 30s or 10m, for each target
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

time=${1:-30s}
targets=0

# fuzz NAME PACKAGE. The go command sometimes calls the end of the time itself a
# failure ("context deadline exceeded") and has found nothing: then
# it is run once more. What it does find is in testdata/fuzz, and fails again at once.
fuzz() {
	go test -run "^$1\$" -fuzz "^$1\$" -fuzztime "$time" "$2" </dev/null
}

while IFS=: read -r file name; do
	step "$(dirname "$file") $name, $time"
	fuzz "$name" "$(dirname "$file")" || fuzz "$name" "$(dirname "$file")" || die "$name found something, or did not end in time twice"
	targets=$((targets + 1))
done < <(grep -rEo --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]+' . | sed 's/func //' | sort)

[ "$targets" -gt 0 ] || die "no fuzz target found"
printf '\n%d fuzz targets, %s each\n' "$targets" "$time"

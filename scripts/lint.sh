#!/usr/bin/env bash
# Style that a machine can judge.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2

step "gofmt"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || die "not formatted, run gofmt -w on: $unformatted"

step "go vet"
go vet ./...

step "staticcheck"
go run "$STATICCHECK" ./...

step "internal/tidy"
go test -count=1 ./internal/tidy

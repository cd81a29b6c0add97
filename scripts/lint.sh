#!/usr/bin/env bash
# Style that a machine can judge. Runs every linter and then says which failed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2

formatted() {
	local files
	files=$(gofmt -l .)
	[ -z "$files" ] || {
		printf 'not formatted, run gofmt -w on:\n%s\n' "$files"
		return 1
	}
}

failed=()
lint() {
	step "$1"
	"${@:2}" || failed+=("$1")
}

lint "gofmt" formatted
lint "go vet" go vet ./...
lint "go vet, 32 bits" env CGO_ENABLED=0 GOARCH=arm GOARM=7 go vet ./...
lint "staticcheck" go run "$STATICCHECK" ./...
lint "internal/tidy" go test -count=1 ./internal/tidy

[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"

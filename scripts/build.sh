#!/usr/bin/env bash
# Builds both commands, static and without cgo. With no arguments: for this machine,
# into bin/. `build.sh cross`: for every platform that is shipped, to see that it
# compiles and links; the binaries are thrown away.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

version=$(git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED=0

# build OUT
build() {
	local c
	for c in holdfast holdfast-gateway; do
		go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$1/$c" "./cmd/$c"
	done
}

case "${1:-}" in
'')
	build bin
	;;
cross)
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	for platform in linux/amd64/ linux/arm64/ linux/arm/7; do
		IFS=/ read -r GOOS GOARCH GOARM <<<"$platform"
		export GOOS GOARCH GOARM
		build "$tmp/$GOOS-$GOARCH$GOARM"
		printf '%-14s %s\n' "$GOOS/$GOARCH$GOARM" "$(cd "$tmp/$GOOS-$GOARCH$GOARM" && wc -c * | awk '$2 != "total" {printf "%s %.1f MiB  ", $2, $1 / 1048576}')"
	done
	;;
*)
	die "usage: build.sh [cross]"
	;;
esac

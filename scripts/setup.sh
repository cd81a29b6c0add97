#!/usr/bin/env bash
# Makes sure that what the tests need is there, and installs only what is missing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

# go: 1.21 or newer fetches the toolchain that go.mod names by itself.
command -v go >/dev/null || die "Go is missing: install Go 1.26 or newer from https://go.dev/dl"
gover=$(GOTOOLCHAIN=local go env GOVERSION)
minor=${gover#go1.}
minor=${minor%%[!0-9]*}
[ "${minor:-0}" -ge 21 ] || die "$gover is too old: install Go 1.26 or newer from https://go.dev/dl"

# What else is needed, and what for. Debian's packages have the commands' names.
missing=()
need() {
	command -v "$1" >/dev/null && return
	printf 'missing: %s (%s)\n' "$1" "$2"
	missing+=("$1")
}
need gcc "the race detector is built with cgo"
need strace "the power-cut test traces a gateway's writes and syncs"
need git "the version of a build"
# Tests start servers of their own: its programs need not be in the path.
if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
	printf 'missing: postgresql (the suite of the store runs on a throw-away server)\n'
	missing+=(postgresql)
fi

if [ ${#missing[@]} -gt 0 ]; then
	packages=("${missing[@]}")
	[[ " ${missing[*]} " != *" gcc "* ]] || packages+=(libc6-dev)
	root=()
	if [ "$(id -u)" -ne 0 ]; then
		sudo -n true 2>/dev/null || die "run this once, then again: sudo apt-get install -y --no-install-recommends ${packages[*]}"
		root=(sudo -n)
	fi
	command -v apt-get >/dev/null || die "no apt-get here: install ${packages[*]} with your own package manager"
	printf 'installing: %s\n' "${packages[*]}"
	if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		# Only the programs: no cluster is made, no server is started.
		"${root[@]}" mkdir -p /etc/postgresql-common
		printf 'create_main_cluster = false\n' | "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
	fi
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
	for c in "${missing[@]}"; do
		command -v "$c" >/dev/null || compgen -G "/usr/lib/$c/*/bin/initdb" >/dev/null || die "$c is still missing after the installation"
	done
fi

#!/usr/bin/env bash
# Makes sure that what the tests need is there, and installs only what is missing.
# `setup.sh release`: what scripts/release-test.sh needs besides.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
PATH=$PATH:/usr/sbin:/sbin

# go: 1.21 or newer fetches the toolchain that go.mod names by itself.
command -v go >/dev/null || die "Go is missing: install Go 1.26 or newer from https://go.dev/dl"
gover=$(GOTOOLCHAIN=local go env GOVERSION)
minor=${gover#go1.}
minor=${minor%%[!0-9]*}
[ "${minor:-0}" -ge 21 ] || die "$gover is too old: install Go 1.26 or newer from https://go.dev/dl"

# What else is needed, what for, and in which of Debian's packages it is.
missing=() packages=()
# there COMMAND: Debian keeps PostgreSQL's server programs out of the path.
there() { command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null; }
need() {
	there "$1" && return
	printf 'missing: %s (%s)\n' "$1" "$2"
	missing+=("$1")
	packages+=(${3:-$1})
}
need gcc "the race detector is built with cgo" "gcc libc6-dev"
need strace "the power-cut test traces a gateway's writes and syncs"
need git "the version of a build"
need initdb "tests of the cloud's store start a PostgreSQL server of their own" postgresql
if [ "${1:-}" = release ]; then
	need qemu-arm-static "arm binaries run here" qemu-user-static
	need debootstrap "packages are installed in a bare Debian"
	need skopeo "somebody else reads our images"
	need systemd-analyze "somebody else reads our units" systemd
fi

if [ ${#missing[@]} -gt 0 ]; then
	root=()
	if [ "$(id -u)" -ne 0 ]; then
		sudo -n true 2>/dev/null || die "run this once, then again: sudo apt-get install -y --no-install-recommends ${packages[*]}"
		root=(sudo -n)
	fi
	command -v apt-get >/dev/null || die "no apt-get here: install ${packages[*]} with your own package manager"
	printf 'installing: %s\n' "${packages[*]}"
	if [[ " ${packages[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		# Only the programs: no cluster is made, no server is started.
		"${root[@]}" mkdir -p /etc/postgresql-common
		printf 'create_main_cluster = false\n' | "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
	fi
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
	for c in "${missing[@]}"; do
		there "$c" || die "$c is still missing after the installation"
	done
fi

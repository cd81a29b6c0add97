# Sourced by the other scripts: where we are, and what every go command needs.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The version comes from git where there is one (scripts/build.sh); stamping by
# the go command fails in a clone that belongs to somebody else.
export GOFLAGS="-buildvcs=false ${GOFLAGS:-}"

# step says what comes next, and how long it has taken so far.
step() {
	printf '\n== %s (%ds)\n' "$*" "$SECONDS"
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

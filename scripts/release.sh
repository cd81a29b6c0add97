#!/usr/bin/env bash
# Builds everything that is shipped into dist/: static binaries as tar.gz, debs, OCI
# image layouts, bills of materials, checksums. The same commit gives the same bytes,
# on any machine. VERSION=1.2.3 names it; by default git does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0
OUT=${OUT:-dist}

version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo 0)}
version=${version#v}
[[ $version =~ ^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$ ]] || die "VERSION $version: want letters, digits and . + -"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# A Debian version begins with a digit and has no hyphen of its own; without a tag
# it must stay below every release.
DEB_VERSION=$version
[[ $version =~ ^[0-9]+\. ]] || DEB_VERSION="0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).$version"
DEB_VERSION=${DEB_VERSION//-/+}
export DEB_VERSION CGO_ENABLED=0

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rm -rf "$OUT"
mkdir -p "$OUT"

step "release $version: the tools"
tool() { env -u GOOS -u GOARCH -u GOARM go "$@"; }
tool build -trimpath -o "$stage/release" ./internal/release/cmd
GOBIN="$stage" tool install "$NFPM"

# NAME        GOARCH GOARM deb    OCI
platforms="
linux_amd64   amd64  -     amd64  amd64
linux_arm64   arm64  -     arm64  arm64
linux_armv7   arm    7     armhf  arm/v7
"
images=()
while read -r name GOARCH GOARM DEB_ARCH oci; do
	[ -n "$name" ] || continue
	step "$name"
	export GOOS=linux GOARCH GOARM DEB_ARCH
	[ "$GOARM" != - ] || unset GOARM
	STAGE=$stage/$name
	export STAGE
	mkdir -p "$STAGE"
	for c in holdfast holdfast-gateway; do
		go build -trimpath -ldflags "-s -w -buildid= -X main.version=$version" -o "$STAGE/$c" "./cmd/$c"
		"$stage/release" sbom --version "$version" --out "$OUT/${c}_${version}_$name.cdx.json" "$STAGE/$c"
	done
	"$stage/release" licences --out "$STAGE/THIRD-PARTY.txt" "$STAGE/holdfast"
	"$stage/release" licences --out "$STAGE/third-party-gateway" "$STAGE/holdfast-gateway"
	cat NOTICE "$STAGE/THIRD-PARTY.txt" >"$STAGE/copyright"
	cat NOTICE "$STAGE/third-party-gateway" >"$STAGE/copyright-gateway"
	cp gateway/agent/example.yaml "$STAGE/example.yaml"

	folder=$STAGE/holdfast_${version}_$name
	mkdir "$folder"
	cp "$STAGE/holdfast" "$STAGE/holdfast-gateway" "$STAGE/THIRD-PARTY.txt" "$STAGE/example.yaml" LICENSE NOTICE README.md packaging/gateway/holdfast-gateway.service "$folder"
	"$stage/release" pack --out "$OUT/holdfast_${version}_$name.tar.gz" "$folder"

	for p in gateway cloud; do
		said=$("$stage/nfpm" package --config "packaging/$p/nfpm.yaml" --packager deb --target "$OUT" 2>&1) || die "nfpm, $p: $said"
	done
	images+=("$oci=$name")
done <<<"$platforms"
unset GOOS GOARCH GOARM

step "OCI images"
# image NAME FLAGS... -- ARGS...: one layout for all platforms.
image() {
	local c=$1 flags=() i
	shift
	for i in "${images[@]}"; do flags+=(--platform "${i%%=*}=$stage/${i#*=}/$c"); done
	"$stage/release" image --name "$c" --version "$version" --out "$OUT/${c}_${version}_oci.tar" "${flags[@]}" "$@"
}
cp "$stage/linux_amd64/copyright-gateway" "$stage/copyright"
image holdfast-gateway --data /var/lib/holdfast --port 8180 --document LICENSE --document "$stage/copyright" -- run --config /etc/holdfast/gateway.yaml
cp "$stage/linux_amd64/copyright" "$stage/copyright"
image holdfast --data /var/lib/holdfast-cloud --port 8480 --port 8443 --document LICENSE --document "$stage/copyright" -- cloud --data /var/lib/holdfast-cloud

(cd "$OUT" && sha256sum -- * >SHA256SUMS)
step "in $OUT"
(cd "$OUT" && wc -c -- * | awk '{printf "%9.1f KiB  %s\n", $1 / 1024, $2}')

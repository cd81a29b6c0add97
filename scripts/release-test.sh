#!/usr/bin/env bash
# Proves a release (docs/install.md says what): built twice with the same bytes, read by tools that are not ours,
# run on arm64 and armv7 under qemu-user, installed and started in a bare Debian.
# Needs root (or sudo) for the bare Debian. `release-test.sh DIST` takes a release that
# is built already and skips building it a second time. KEEP=1 leaves the traces.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

PATH=$PATH:/usr/sbin:/sbin
SUITE=bookworm
# The worst that systemd-analyze may say of a unit, in tenths (its scale is 0 to 10;
# below 2 it is "OK" with room to spare).
EXPOSURE=20

scripts/setup.sh release
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo -n)

tmp=$(mktemp -d)
pids=()
cleanup() {
	local p
	for p in "${pids[@]}"; do
		"${root[@]}" kill -9 "$p" 2>/dev/null || true
		wait "$p" 2>/dev/null || true
	done
	[ -z "${KEEP:-}" ] || { printf 'kept: %s\n' "$tmp" && return; }
	"${root[@]}" rm -rf --one-file-system "$tmp"
}
trap cleanup EXIT
if [ $# -gt 0 ]; then
	dist=$(cd "$1" && pwd)
else
	dist=$tmp/dist
	OUT=$dist scripts/release.sh
	step "again, elsewhere: the same bytes"
	mkdir "$tmp/elsewhere"
	git ls-files -z | xargs -0 cp --parents -t "$tmp/elsewhere"
	version=$(basename "$dist"/holdfast_*_oci.tar _oci.tar)
	(
		cd "$tmp/elsewhere"
		umask 077
		VERSION=${version#holdfast_} SOURCE_DATE_EPOCH=$(git -C "$OLDPWD" log -1 --format=%ct) OUT=$tmp/again scripts/release.sh >/dev/null
	)
	diff "$dist/SHA256SUMS" "$tmp/again/SHA256SUMS" || die "two builds of one commit differ"
fi

step "checksums, images, bills of materials"
(cd "$dist" && sha256sum --check --quiet SHA256SUMS)
for image in "$dist"/*_oci.tar; do
	for platform in amd64 arm64 arm/v7; do
		IFS=/ read -r arch variant <<<"$platform"
		skopeo --override-os linux --override-arch "$arch" --override-variant "${variant:-}" inspect --config "oci-archive:$image" |
			grep -Eq '"User": ?"65532:65532"' || die "skopeo does not read $platform of $image"
	done
	# A copy reads every blob and checks every digest.
	skopeo --override-arch arm --override-variant v7 copy --quiet "oci-archive:$image" "dir:$tmp/$(basename "$image")"
done
grep -q '"specVersion": "1.6"' "$dist"/holdfast_*_amd64.cdx.json || die "no bill of materials"

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || die "no $what in time"
		sleep 0.2
	done
}
# field NAME FILE: a string member of the first JSON object in a file.
field() { grep -o "\"$1\": *\"[^\"]*\"" "$2" | head -1 | sed 's/.*: *"//; s/"$//'; }

# open_site NAME: a site, its token and tariff in the cloud; prints the code.
open_site() {
	holdfast sites add "$1" --json >"$tmp/$1.json"
	field code "$tmp/$1.json"
}
# charge URL VERSION: one driver charges one car, at a charger with a meter of its own.
charge() { holdfast charger --url "$1" --id "CP-$2" --seed "${2//./}" --password "$password" --version "$2" --token 04A2B3C4D5E680 --charge 5s --sample 1s --settle 20s >"$tmp/charger.log" || die "the charger: $(tail -3 "$tmp/charger.log")"; }

password=$(head -c 10 /dev/urandom | od -An -tx1 | tr -d ' \n' | cut -c1-20)
case $(uname -m) in
x86_64) native=linux_amd64 ;;
aarch64) native=linux_arm64 ;;
*) native=linux_armv7 ;;
esac
for name in linux_amd64 linux_arm64 linux_armv7; do
	mkdir "$tmp/$name"
	tar -C "$tmp/$name" --strip-components=1 -xzf "$dist"/holdfast_*_$name.tar.gz
done
PATH=$tmp/$native:$PATH

step "a cloud"
holdfast cloud --data "$tmp/cloud" --api 127.0.0.1:0 --gateways 127.0.0.1:0 --json >"$tmp/cloud.json" 2>"$tmp/cloud.log" &
pids+=($!)
wait_for 30 "cloud" grep -q token "$tmp/cloud.json"
HOLDFAST_CLOUD=$(field api "$tmp/cloud.json")
HOLDFAST_TOKEN=$(field token "$tmp/cloud.json")
export HOLDFAST_CLOUD HOLDFAST_TOKEN
endpoint=$(field gateways "$tmp/cloud.json")
printf '%s\n' 04A2B3C4D5E680 | holdfast tokens add - --label smoke >/dev/null
printf '%s' '{"id":"standard","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":0.45,"vat":19,"step_size":1}]}]}' >"$tmp/tariff.json"
holdfast tariffs set "$tmp/tariff.json" >/dev/null

# start_gateway DIR PORT COMMAND...: until it serves. Its pid is in $gateway.
start_gateway() {
	local dir=$1 log
	log=$dir.log
	shift 2
	: >"$log"
	"$@" 2>"$log" &
	gateway=$!
	pids+=("$gateway")
	wait_for 60 "gateway: $(tail -1 "$log")" grep -q '"msg":"ready"' "$log"
}
# configuration DIR PORT
configuration() {
	local hash id
	hash=$(printf '%s' "$password" | holdfast-gateway hash-password | grep -o "hf1:[0-9a-f:]*")
	printf 'dir: %s\nocpp:\n  listen: 127.0.0.1:%s\nchargers:\n' "$1" "$2"
	for id in CP-1.6 CP-2.0.1; do printf '  - id: %s\n    max_power_w: 22000\n    password_hash: %s\n' "$id" "$hash"; done
}

port=18180
for name in linux_arm64 linux_armv7; do
	case $name in
	linux_arm64) emulator=qemu-aarch64-static ;;
	linux_armv7) emulator=qemu-arm-static ;;
	esac
	port=$((port + 1))
	step "$name under $emulator: enrol, charge, deliver"
	run=("$emulator" "$tmp/$name/holdfast-gateway")
	"$emulator" "$tmp/$name/holdfast" --version
	site=${name#linux_}
	HOLDFAST_CODE=$(open_site "$site") "${run[@]}" enroll --cloud "$endpoint" --dir "$tmp/$site" >/dev/null
	configuration "$tmp/$site" $port >"$tmp/$site.yaml"
	"${run[@]}" check-config --config "$tmp/$site.yaml"
	start_gateway "$tmp/$site" $port "${run[@]}" run --config "$tmp/$site.yaml"
	wait_for 60 "access list" sh -c "holdfast-gateway status --config '$tmp/$site.yaml' --json | grep -q '\"list_version\": *[1-9]'"
	charge ws://127.0.0.1:$port/ocpp 1.6
	kill -9 "$gateway" # power goes
	wait "$gateway" 2>/dev/null || true
	start_gateway "$tmp/$site" $port "${run[@]}" run --config "$tmp/$site.yaml"
	charge ws://127.0.0.1:$port/ocpp 2.0.1
	wait_for 15 "two CDRs of $site" sh -c "test \$(holdfast cdrs list --site $site | grep -c EUR) -eq 2"
	kill -TERM "$gateway"
	wait "$gateway" || die "$name ended with $?: $(tail -1 "$tmp/$site.log")"
	"$emulator" "$tmp/$name/holdfast" journal verify "$tmp/$site/evidence"
done
holdfast ledger balance

step "a bare Debian $SUITE"
bare=$tmp/bare
# From where this machine's own packages come, when that has the suite.
mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 2>/dev/null | awk -v s="$SUITE" '$1 == s {print $2; exit}')
"${root[@]}" debootstrap --variant=minbase --include=systemd "$SUITE" "$bare" ${mirror:+"$mirror"} >"$tmp/debootstrap.log" || die "debootstrap: $(tail -3 "$tmp/debootstrap.log")"
deb=$(dpkg --print-architecture)
"${root[@]}" cp "$dist"/*_"$deb".deb "$bare/root/"
inside() { "${root[@]}" chroot "$bare" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
inside sh -c 'dpkg -i /root/*.deb'
[ "$(inside stat -c '%U %a' /var/lib/holdfast)" = "holdfast-gateway 700" ] || die "/var/lib/holdfast is not the gateway's alone"
[ "$(inside stat -c '%U %G %a' /etc/holdfast/gateway.yaml)" = "root holdfast-gateway 640" ] || die "gateway.yaml can be read by others"

step "the units"
for unit in holdfast-gateway holdfast-cloud; do
	"${root[@]}" systemd-analyze verify --root="$bare" --man=no "$unit.service"
	"${root[@]}" systemd-analyze security --offline=true --root="$bare" --threshold=$EXPOSURE --no-pager "$unit.service" | tail -1
done

step "what the units start, as their users"
# exec_of UNIT: its ExecStart.
exec_of() { sed -n 's/^ExecStart=//p' "$bare/usr/lib/systemd/system/$1.service"; }
as() {
	local user=$1
	shift
	inside runuser -u "$user" -- "$@"
}
code=$(open_site bare)
as holdfast-gateway env HOLDFAST_CODE="$code" holdfast-gateway enroll --cloud "$endpoint" --dir /var/lib/holdfast
configuration /var/lib/holdfast 18190 | "${root[@]}" tee "$bare/etc/holdfast/gateway.yaml" >/dev/null
as holdfast-gateway holdfast-gateway check-config
read -ra command <<<"$(exec_of holdfast-gateway)"
start_gateway "$tmp/bare-gateway" 18190 as holdfast-gateway "${command[@]}"
wait_for 60 "access list" sh -c "${root[*]} chroot $bare /usr/bin/holdfast-gateway status --json | grep -q '\"list_version\": *[1-9]'"
charge ws://127.0.0.1:18190/ocpp 1.6
wait_for 60 "CDR of the bare Debian" sh -c "holdfast cdrs list --site bare | grep -q EUR"
read -ra command <<<"$(exec_of holdfast-cloud | sed 's/\$HOLDFAST_CLOUD_FLAGS/--api 127.0.0.1:0 --gateways 127.0.0.1:0/')"
as holdfast-cloud "${command[@]}" >"$tmp/bare-cloud.txt" 2>/dev/null &
pids+=($!)
wait_for 30 "cloud in the bare Debian" grep -q 'HOLDFAST_TOKEN=hfa_' "$tmp/bare-cloud.txt"

step "upgrade, remove, purge"
inside sh -c 'dpkg -i /root/holdfast-gateway_*.deb' >/dev/null
"${root[@]}" grep -q 18190 "$bare/etc/holdfast/gateway.yaml" || die "an upgrade lost the configuration"
inside dpkg --remove holdfast-gateway holdfast >/dev/null
inside dpkg --purge holdfast-gateway holdfast
"${root[@]}" test -d "$bare/var/lib/holdfast/evidence" || die "a purge deleted evidence"
"${root[@]}" test ! -e "$bare/etc/holdfast/gateway.yaml" || die "a purge left the configuration"

step "the release is good"

# What the examples share; sourced. SITE is a directory of `briskest quickstart --dir SITE`
# whose servers run, SERIAL a device that onboarded there, WORK a folder for what is made here.
set -euo pipefail
SITE=${1:?usage: run.sh SITE [SERIAL]; SITE is the directory of a running briskest quickstart}
SERIAL=${2:-WIDGET-0001}
BRISKEST=${BRISKEST:-briskest}
PORT=${PORT:-0}
WORK=$(mktemp -d)
SITE=$(cd "$SITE" && pwd)
EST=$(sed -n 's/.*"est": *"\([^"]*\)".*/\1/p' "$SITE/addresses.json")
DEVICE=$SITE/pledge
[ "$SERIAL" = WIDGET-0001 ] || DEVICE=$SITE/devices/$(printf %s "$SERIAL" | sed 's/\./_2e/g')
[ -s "$DEVICE/ldevid.pem" ] || { echo "no device $SERIAL in $SITE; onboard it: briskest quickstart --dir $SITE --add $SERIAL" >&2; exit 2; }
[ "$PORT" != 0 ] || PORT=$(( 20000 + $(od -An -N2 -tu2 /dev/urandom) % 20000 ))

# The service that is started, and what it leaves behind, go with the script.
SERVICE=
finish() {
	[ -z "$SERVICE" ] || kill "$SERVICE" 2>/dev/null || true
	rm -rf "$WORK"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }

# server NAME: a certificate from the registrar for a server of that name, with its chain.
server() {
	"$BRISKEST" est enroll --url "$EST" --ca "$SITE/ca.pem" --user-file "$SITE/est-user.txt" \
		--new-key "$WORK/server.key" --cn "$1" --dns "$1" --ip 127.0.0.1 --out "$WORK/server.pem" >/dev/null
	cat "$WORK/server.pem" "$SITE/ca.pem" > "$WORK/server-chain.pem"
}

# lists: the CA's present revocation list.
lists() { "$BRISKEST" ca crl --config "$SITE/registrar.yaml" --out "$WORK/crl.pem" >/dev/null; }

# until COMMAND: waits until it succeeds, ten seconds at most.
until_it() {
	for _ in $(seq 100); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	echo "not within ten seconds: $*" >&2
	return 1
}

#!/usr/bin/env bash
# Prints the resident memory of an idle registrar: makes a quickstart, starts
# its registrar alone, waits until it answers, reads its status, ends it.
set -euo pipefail
program=$1
dir=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
pid=
"$program" quickstart --once --dir "$dir" >/dev/null
"$program" registrar --config "$dir/registrar.yaml" >/dev/null 2>&1 &
pid=$!
for _ in $(seq 300); do
	# The command would open the store itself before the server does.
	[ -S "$dir/registrar/admin.sock" ] && "$program" device list --config "$dir/registrar.yaml" >/dev/null 2>&1 && break
	sleep 0.1
done
awk '/VmRSS/ {printf "idle registrar: %.1f MB resident\n", $2/1000}' "/proc/$pid/status"

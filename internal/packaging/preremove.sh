#!/bin/sh
# Ends the servers when the package goes, not when it is upgraded. Keys and records stay.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	for unit in briskest-registrar briskest-masa briskest-join-proxy; do
		systemctl disable --now "$unit.service"
	done
fi

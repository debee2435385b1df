#!/bin/sh
# The user that the servers run as, and the folder of their configurations.
set -e
if ! getent passwd briskest >/dev/null; then
	useradd --system --user-group --home-dir /etc/briskest --no-create-home --shell /usr/sbin/nologin briskest
fi
chown briskest:briskest /etc/briskest
chmod 750 /etc/briskest
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	for unit in briskest-registrar briskest-masa briskest-join-proxy; do
		systemctl try-restart "$unit.service"
	done
fi

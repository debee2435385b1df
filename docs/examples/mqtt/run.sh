#!/usr/bin/env bash
# An MQTT broker whose devices log in by the certificate they onboarded for, and
# may use the topics below their own name and no others.
# Needs mosquitto and its clients (Debian: mosquitto, mosquitto-clients).
source "$(dirname "$0")/../common.sh"
export PATH=$PATH:/usr/sbin
command -v mosquitto mosquitto_pub mosquitto_sub >/dev/null

step "a certificate for the broker, and the CA's revocation list"
server broker.example
lists
cat > "$WORK/mosquitto.conf" <<CONF
listener $PORT 127.0.0.1
cafile $SITE/ca.pem
certfile $WORK/server-chain.pem
keyfile $WORK/server.key
crlfile $WORK/crl.pem
require_certificate true
use_subject_as_username true
allow_anonymous false
acl_file $WORK/acl
persistence false
CONF
printf 'pattern readwrite devices/%%u/#\n' > "$WORK/acl"
chmod 600 "$WORK/acl"
[ "$(id -u)" != 0 ] || echo "user root" >> "$WORK/mosquitto.conf"
mosquitto -c "$WORK/mosquitto.conf" > "$WORK/broker.log" 2>&1 &
SERVICE=$!
until_it grep -q 'running' "$WORK/broker.log" || { cat "$WORK/broker.log"; exit 1; }

# The certificate's subject is what the broker calls the device.
NAME=$(openssl x509 -in "$DEVICE/ldevid.pem" -noout -subject -nameopt RFC2253 | sed 's/^subject=//')
client() { local tool=$1; shift; "$tool" -h 127.0.0.1 -p "$PORT" --cafile "$SITE/ca.pem" -V mqttv5 "$@"; }
as_device=(--cert "$DEVICE/ldevid.pem" --key "$DEVICE/ldevid.key")

step "$NAME publishes below its own name, and is heard"
client mosquitto_sub "${as_device[@]}" -t "devices/$NAME/#" -C 1 -W 10 > "$WORK/heard" &
LISTENER=$!
until_it grep -q "SUBSCRIBE\|Sending SUBACK\|New client connected" "$WORK/broker.log"
client mosquitto_pub "${as_device[@]}" -q 1 -t "devices/$NAME/temperature" -m 21.5 --repeat 20 --repeat-delay 0.2 &
PUBLISHER=$!
wait "$LISTENER"
kill "$PUBLISHER" 2>/dev/null || true
cat "$WORK/heard"
[ "$(cat "$WORK/heard")" = 21.5 ]

step "it may not publish below another one's"
if client mosquitto_pub "${as_device[@]}" -q 1 -t "devices/serialNumber=OTHER/temperature" -m 0 > "$WORK/refused" 2>&1; then
	grep -i 'not authorized' "$WORK/refused" "$WORK/broker.log" || { cat "$WORK/refused"; echo "it was let"; exit 1; }
fi
cat "$WORK/refused"

step "a device of the manufacturer that never onboarded is not let in"
if client mosquitto_pub --cert "$DEVICE/idevid.pem" --key "$DEVICE/idevid.key" -t x -m 0 > "$WORK/stranger" 2>&1; then
	echo "a stranger was let in"; exit 1
fi
cat "$WORK/stranger"
echo "refused, as it should be"

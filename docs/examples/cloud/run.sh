#!/usr/bin/env bash
# A cloud IoT service that trusts our CA, the way the large ones do it: the owner registers
# the issuing CA by proving that it signs (a certificate whose common name is a code of the
# service's), and devices then connect with mutual TLS, though the service never saw them before.
# The service here is openssl; with a real one, step 2 is its "register CA certificate".
# Needs openssl.
source "$(dirname "$0")/../common.sh"

step "1. the service gives out a registration code"
CODE=$(openssl rand -hex 16)
echo "$CODE"

step "2. the CA signs a certificate with that common name, and the service checks it"
openssl x509 -in "$SITE/ca.pem" -out "$WORK/issuing.pem" # the first one: the issuing CA
"$BRISKEST" est enroll --url "$EST" --ca "$SITE/ca.pem" --user-file "$SITE/est-user.txt" --new-key "$WORK/proof.key" --cn "$CODE" --out "$WORK/proof.pem" >/dev/null
openssl verify -partial_chain -trusted "$WORK/issuing.pem" "$WORK/proof.pem"
openssl x509 -in "$WORK/proof.pem" -noout -subject | grep "$CODE"

step "3. the service trusts the issuing CA, and no other"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=iot.example -addext subjectAltName=DNS:iot.example -days 2 -keyout "$WORK/service.key" -out "$WORK/service.pem" 2>/dev/null
openssl s_server -accept "127.0.0.1:$PORT" -cert "$WORK/service.pem" -key "$WORK/service.key" -CAfile "$WORK/issuing.pem" -partial_chain -Verify 2 -verify_return_error -no-CApath -no-CAstore -www > "$WORK/service.log" 2>&1 &
SERVICE=$!
connect() { printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -connect "127.0.0.1:$PORT" -servername iot.example -CAfile "$WORK/service.pem" -verify_return_error -quiet -no_ign_eof "$@" 2>&1; }
until_it grep -q ACCEPT "$WORK/service.log"

step "4. $SERIAL connects, just in time"
connect -cert "$DEVICE/ldevid.pem" -key "$DEVICE/ldevid.key" -ign_eof > "$WORK/device.log" || true
grep -a -m1 'HTTP/1.0 200' "$WORK/device.log" || { cat "$WORK/device.log" "$WORK/service.log"; exit 1; }
grep -a -m1 "subject=.*$SERIAL\|Subject:.*$SERIAL" "$WORK/device.log" || true

step "5. a certificate of another CA does not"
connect -cert "$DEVICE/idevid.pem" -key "$DEVICE/idevid.key" -ign_eof > "$WORK/stranger.log" || true
if grep -a -q 'HTTP/1.0 200' "$WORK/stranger.log"; then echo "a stranger was let in"; exit 1; fi
echo "refused, as it should be"

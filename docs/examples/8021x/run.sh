#!/usr/bin/env bash
# 802.1X: a RADIUS server that lets devices into the network by the certificate they
# onboarded for, with EAP-TLS (RFC 5216), and refuses them once it is revoked.
# Needs freeradius and eapol_test (Debian: freeradius, eapoltest).
source "$(dirname "$0")/../common.sh"
command -v freeradius eapol_test >/dev/null

step "a certificate for the RADIUS server, and the CA's revocation list"
server radius.example
lists
cat "$SITE/ca.pem" "$WORK/crl.pem" > "$WORK/trust.pem"

cat > "$WORK/radiusd.conf" <<CONF
name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
logdir = $WORK
run_dir = $WORK
pidfile = $WORK/radiusd.pid
max_requests = 256
log {
  destination = stdout
}
security {
  allow_core_dumps = no
}
client access-point {
  ipaddr = 127.0.0.1
  secret = access-point-secret
}
modules {
  eap {
    default_eap_type = tls
    tls-config site {
      certificate_file = $WORK/server-chain.pem
      private_key_file = $WORK/server.key
      ca_file = $WORK/trust.pem
      check_crl = yes
      tls_min_version = "1.2"
      tls_max_version = "1.2"
      cipher_list = "ECDHE+AESGCM"
      ecdh_curve = "prime256v1"
    }
    tls {
      tls = site
    }
  }
}
server network {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = $PORT
  }
  authorize {
    eap
  }
  authenticate {
    eap
  }
}
CONF
cat > "$WORK/device.conf" <<CONF
network={
  key_mgmt=WPA-EAP
  eap=TLS
  identity="$SERIAL"
  ca_cert="$SITE/ca.pem"
  domain_match="radius.example"
  client_cert="$DEVICE/ldevid.pem"
  private_key="$DEVICE/ldevid.key"
}
CONF

start() {
	freeradius -f -l stdout -d "$WORK" -n radiusd > "$WORK/radius.log" 2>&1 &
	SERVICE=$!
	until_it grep -q 'Ready to process requests' "$WORK/radius.log" || { cat "$WORK/radius.log"; exit 1; }
}
join() { eapol_test -c "$WORK/device.conf" -a 127.0.0.1 -p "$PORT" -s access-point-secret -t 10 > "$WORK/device.log" 2>&1; }

step "$SERIAL asks to join by EAP-TLS"
start
join || { tail -40 "$WORK/device.log" "$WORK/radius.log"; exit 1; }
grep -E '^SUCCESS' "$WORK/device.log"

step "$SERIAL is revoked, the RADIUS server gets the new list, and $SERIAL asks again"
"$BRISKEST" ca revoke --config "$SITE/registrar.yaml" --device "$SERIAL" --reason superseded >/dev/null
lists
cat "$SITE/ca.pem" "$WORK/crl.pem" > "$WORK/trust.pem"
kill "$SERVICE"; wait "$SERVICE" 2>/dev/null || true
start
if join; then echo "a revoked device joined"; exit 1; fi
grep -m1 -iE 'certificate revoked|revoked' "$WORK/radius.log"
echo "refused, as it should be"

package httpserver_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// hello is a TLS ClientHello written by hand (RFC 5246, Section 7.4.1.2), for
// what crypto/tls does not let a client say.
type hello struct {
	version    uint16
	suites     []uint16
	extensions map[uint16][]byte
}

// Extensions that the tests name.
const (
	extGroups        = 10
	extPoints        = 11
	extSignatures    = 13
	extTruncatedHMAC = 4
	extEMS           = 23
	extEarlyData     = 42
	extVersions      = 43
	extKeyShare      = 51
	extRenegotiation = 0xff01
)

// usual is what every client sends: P-256, uncompressed points, ECDSA with SHA-256.
func usual(more map[uint16][]byte) map[uint16][]byte {
	extensions := map[uint16][]byte{
		extGroups: {0, 2, 0, 23}, extPoints: {1, 0}, extSignatures: {0, 2, 4, 3}, extRenegotiation: {0}, extEMS: {},
	}
	for id, value := range more {
		extensions[id] = value
	}
	return extensions
}

// record is the hello as it goes over the wire.
func (h hello) record() []byte {
	body := binary.BigEndian.AppendUint16(nil, h.version)
	body = append(body, make([]byte, 32)...) // random
	body = append(body, 0)                   // no session
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(h.suites)))
	for _, s := range h.suites {
		body = binary.BigEndian.AppendUint16(body, s)
	}
	body = append(body, 1, 0) // no compression
	var extensions []byte
	for id, value := range h.extensions {
		extensions = binary.BigEndian.AppendUint16(extensions, id)
		extensions = binary.BigEndian.AppendUint16(extensions, uint16(len(value)))
		extensions = append(extensions, value...)
	}
	body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
	body = append(body, extensions...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

// Alerts (RFC 8446, Section 6).
const (
	alertHandshakeFailure = 40
	alertProtocolVersion  = 70
	alertUnsupported      = 110
	noAlert               = 0
)

// reply is the server's first record: an alert, or a ServerHello.
type reply struct {
	alert      byte
	suite      uint16
	extensions map[uint16]bool
}

// send sends h to the server and reads what comes first.
func (h hello) send(t *testing.T, address string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(h.record()); err != nil {
		t.Fatal(err)
	}
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatalf("the server answers a hello with %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	if head[0] == 21 && len(body) == 2 {
		return reply{alert: body[1]}
	}
	return serverHello(t, body)
}

// serverHello reads suite and extensions of a ServerHello (RFC 5246, Section 7.4.1.3).
func serverHello(t *testing.T, body []byte) reply {
	t.Helper()
	if len(body) < 39 || body[0] != 2 {
		t.Fatalf("the server answers a hello with %x", body)
	}
	rest := body[38+1+int(body[38]):]
	r := reply{suite: binary.BigEndian.Uint16(rest), extensions: map[uint16]bool{}}
	end := 4 + (int(body[1])<<16 | int(body[2])<<8 | int(body[3]))
	extensions := body[len(body)-len(rest)+5 : end]
	for len(extensions) >= 4 {
		r.extensions[binary.BigEndian.Uint16(extensions)] = true
		extensions = extensions[4+int(binary.BigEndian.Uint16(extensions[2:])):]
	}
	return r
}

// EST-7030-3.2.3-02, EST-7030-3.3-02, EST-9325-3.1.1-01, EST-9325-3.1.1-02: TLS 1.2 and 1.3, and
// nothing before.
func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	_, address := startTLS(t)
	suites := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for version, name := range map[uint16]string{0x0300: "SSL 3.0", tls.VersionTLS10: "TLS 1.0", tls.VersionTLS11: "TLS 1.1"} {
		if got := (hello{version: version, suites: suites, extensions: usual(nil)}).send(t, address); got.alert != alertProtocolVersion {
			t.Errorf("%s: alert %d, want %d, protocol_version", name, got.alert, alertProtocolVersion)
		}
	}
	if got := (hello{version: tls.VersionTLS12, suites: suites, extensions: usual(nil)}).send(t, address); got.alert != noAlert {
		t.Errorf("TLS 1.2: alert %d", got.alert)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn := dial(t, address, &tls.Config{MinVersion: version, MaxVersion: version})
		if got := conn.ConnectionState().Version; got != version {
			t.Errorf("version %#x, want %#x", got, version)
		}
	}
}

// EST-7030-3.2.3-03, EST-7030-3.3.3-02, EST-7030-4.4-03, EST-7030-6-04,
// EST-9325-4.1-01: no suite that hides nothing, authenticates nobody, rests on
// a shared secret alone, or is weak.
func TestWeakCipherSuitesAreRefused(t *testing.T) {
	_, address := startTLS(t)
	for kind, suites := range map[string][]uint16{
		"NULL":               {0x0001, 0x0002, 0x003b, 0xc006, 0xc010},
		"anonymous":          {0x0018, 0x0034, 0x003a, 0x006c, 0x00a6, 0xc017, 0xc018},
		"EXPORT":             {0x0003, 0x0006, 0x0008, 0x0014, 0x0017},
		"DES":                {0x0009, 0x000c, 0x0015, 0x001a},
		"3DES":               {0x000a, 0xc008, 0xc012},
		"RC4":                {0x0004, 0x0005, 0xc007, 0xc011},
		"PSK":                {0x002c, 0x008c, 0x00a8, 0x00ae, 0xc035, 0xd001},
		"no forward secrecy": {0x002f, 0x0035, 0x009c, 0x009d},
	} {
		for _, suite := range suites {
			got := hello{version: tls.VersionTLS12, suites: []uint16{suite}, extensions: usual(nil)}.send(t, address)
			if got.alert != alertHandshakeFailure {
				t.Errorf("%s, suite %#04x: alert %d, want %d, handshake_failure", kind, suite, got.alert, alertHandshakeFailure)
			}
		}
	}
}

// EST-9325-3.5-01, EST-9325-4.6-01: the ServerHello of TLS 1.2 has
// renegotiation_info (RFC 5746) and extended_master_secret (RFC 7627), and
// never truncated_hmac.
func TestTheServerHelloHasWhatProtectsTheHandshake(t *testing.T) {
	_, address := startTLS(t)
	got := hello{
		version: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
		extensions: usual(map[uint16][]byte{extTruncatedHMAC: {}}),
	}.send(t, address)
	if !got.extensions[extRenegotiation] || !got.extensions[extEMS] || got.extensions[extTruncatedHMAC] {
		t.Errorf("the extensions of the ServerHello are %v; want renegotiation_info and extended_master_secret, and no truncated_hmac", got.extensions)
	}
}

// EST-9325-4.1-03: of what the client offers, a forward secret suite is chosen.
func TestAForwardSecretSuiteIsChosen(t *testing.T) {
	_, address := startTLS(t)
	got := hello{
		version: tls.VersionTLS12, extensions: usual(nil),
		suites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	}.send(t, address)
	if got.suite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("suite %#04x was chosen (alert %d)", got.suite, got.alert)
	}
}

// EST-9325-3.10-01: a hello with early data is refused (RFC 8446, Section
// 4.2.10): a request could be replayed.
func TestEarlyDataIsRefused(t *testing.T) {
	_, address := startTLS(t)
	key := append([]byte{0, 69, 0, 23, 0, 65}, generatorP256...)
	offer := func(more map[uint16][]byte) reply {
		more[extVersions], more[extKeyShare] = []byte{2, 3, 4}, key
		return hello{version: tls.VersionTLS12, suites: []uint16{tls.TLS_AES_128_GCM_SHA256}, extensions: usual(more)}.send(t, address)
	}
	if got := offer(map[uint16][]byte{}); got.alert != noAlert {
		t.Fatalf("TLS 1.3 without early data: alert %d", got.alert)
	}
	if got := offer(map[uint16][]byte{extEarlyData: {}}); got.alert != alertUnsupported {
		t.Errorf("early data: alert %d, want %d, unsupported_extension", got.alert, alertUnsupported)
	}
}

// generatorP256 is a point of P-256: its generator.
var generatorP256 = []byte("\x04" +
	"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96" +
	"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5")

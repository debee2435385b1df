package est_test

import (
	"bufio"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/testpki"
)

func writeFile(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// plainConn connects to a TLS server without TLS.
func plainConn(t testing.TB, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// plain sends the request to the handler on a connection without TLS.
func (s *keySite) plain(t testing.TB, request string) wire {
	t.Helper()
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	conn := plainConn(t, strings.TrimPrefix(server.URL, "http://"))
	request = strings.Replace(request, "BASIC\r\n", "Authorization: Basic "+b64([]byte("device:secret"))+"\r\n", 1)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readWire(t, bufio.NewReader(conn), "POST")
}

// What a device says about encryption is read within bounds, whatever it is.
func FuzzKeyGenCSR(f *testing.F) {
	key := testpki.NewKey(f)
	f.Add(keyCSR(f, key))
	f.Add(keyCSR(f, key, attr(sharedKeyID, octets("kek-0001")), listing(aes256wrap, aes256cbc)))
	f.Add(keyCSR(f, key, attr(certKeyID, octets("id")), listing(oaep, stdDH384)))
	f.Add(keyCSR(f, key, attr(capabilities, tlv(0x30, string(tlv(0x30, string(tlv(6, oaep))+"\x30\x00"))))))
	f.Add(goodCSR(f, "device"))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := est.ParseKeyGenCSR(der)
		if err != nil {
			return
		}
		if r.CSR.PublicKey != nil || len(r.SharedKeyID) > 128 || len(r.CertificateKeyID) > 128 || r.SharedKeyID != nil && r.CertificateKeyID != nil {
			t.Errorf("the request is %+v", r)
		}
		if r.SharedKeyID != nil {
			_, _ = r.ForSharedKey(make([]byte, 32))
		}
	})
}

// A receipt is read within bounds, whatever it is.
func FuzzKeyReceipt(f *testing.F) {
	f.Add(tlv(0x30, string(tlv(6, "\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x03"))+string(tlv(0xa0, "\x30\x00"))))
	f.Add(tlv(0x30, string(tlv(6, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"))+string(tlv(0xa0, "\x30\x00"))))
	f.Fuzz(func(_ *testing.T, der []byte) { _ = est.ParseKeyReceipt(der) })
}

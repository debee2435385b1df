package httpserver_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/httpserver"
)

// RFC 7301, Section 3.2. R24: curl 7.88 --http1.0 offers http/1.0 by ALPN and nothing else.
func TestEachProtocolThatClientsOfferIsServed(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	base, client := start(t, httpserver.Config{Routes: map[string]http.Handler{"/hello": hello}})
	roots := client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	for offered, request := range map[string]string{"http/1.0": "GET /hello HTTP/1.0\r\n\r\n", "http/1.1": "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{RootCAs: roots, NextProtos: []string{offered}})
		if err != nil {
			t.Errorf("a client that offers %s: %v", offered, err)
			continue
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), "200 OK") || !strings.HasSuffix(string(answer), strings.ToUpper(offered)) {
			t.Errorf("%s answered %q, %v", offered, answer, err)
		}
		conn.Close()
	}
}

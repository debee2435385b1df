package brski_test

import (
	"testing"

	"github.com/briskest/briskest/brski"
)

// BRSKI-CLOUD-3.2.2-01.
func TestCheckRegistrarURLTakesHTTPSOriginsOnly(t *testing.T) {
	for text, good := range map[string]bool{
		"https://registrar.example": true, "https://registrar.example/": true, "https://registrar.example:8443": true,
		"https://[2001:db8::1]:8443": true, "https://192.0.2.1": true,
		"": false, "http://registrar.example": false, "https://": false, "https://:8443": false, "https://u@registrar.example": false,
		"https://registrar.example/est": false, "https://registrar.example?": false, "https://registrar.example?a": false,
		"https://registrar.example#": false, "https://registrar.example/#a": false, "https:registrar.example": false,
		"https://registrar.example\\@evil.example": false, "https://registrar.example\r\nSet-Cookie: a": false,
		"https://registrar.example/%2e%2e": false, "//registrar.example": false, "javascript:alert(1)": false,
	} {
		if _, err := brski.CheckRegistrarURL(text); (err == nil) != good {
			t.Errorf("CheckRegistrarURL(%q): %v, want taken: %t", text, err, good)
		}
	}
}

package main

import (
	"strings"
	"testing"
)

func TestRevocationURLsThatCertificatesCannotNameAreRefused(t *testing.T) {
	for url, says := range map[string]string{
		"":                              "",
		"http://pki.example.org":        "",
		"http://pki.example.org:8080/":  "",
		"http://pki.example.org/pki":    "",
		"http://[2001:db8::1]:80":       "",
		"https://pki.example.org":       "begins with https://",
		"pki.example.org":               "cannot be read",
		"http://":                       "cannot be read",
		"http://:80":                    "cannot be read",
		"http://pki.example.org/a b":    "cannot be read",
		"http://pki.example.org/{x}":    "cannot be read",
		"http://op:horse@pki.example":   "user or a password",
		"http://pki.example?x=1":        "query or a fragment",
		"http://pki.example#x":          "query or a fragment",
		"http://pki.example.org:0":      "port",
		"http://pki.example.org:123456": "port",
		"ldap://pki.example.org":        "cannot be read",
	} {
		err := (&listsConfig{URL: url}).check("127.0.0.1:8080")
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "horse")) {
			t.Errorf("revocation.url %q: %v, want %q", url, err, says)
		}
	}
}

func TestAServerThatIsNamedUnsafelyIsRefusedWithoutRepeatingTheURL(t *testing.T) {
	for url, says := range map[string]string{
		"http://ca.example":                  "https://",
		"https://registrar:horse@ca.example": "take it out",
		"https://ca.example?token=horse":     "query",
	} {
		c := &estConfig{URL: url, User: "u", Password: "p", Chain: "c"}
		if err := c.check(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "horse") {
			t.Errorf("url %s: check = %v, want %q", url, err, says)
		}
	}
}

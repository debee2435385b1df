package delegate_test

import (
	"strings"
	"testing"

	"github.com/briskest/briskest/ca/delegate"
)

func TestURLsThatAreNotSafeAreRefusedWithWhatToDo(t *testing.T) {
	for text, says := range map[string]string{
		"https://ca.example":                       "",
		"https://ca.example:8443/":                 "",
		"https://ca.example/.well-known/est":       "",
		"https://[::1]:8443/.well-known/est/":      "",
		"http://ca.example":                        "write https://",
		"https://registrar:horse@ca.example":       "take it out, change the password",
		"http://registrar:horse@ca.example":        "take it out, change the password",
		"https://ca.example?token=horse":           "take it out",
		"https://ca.example/#horse":                "take it out",
		"https://ca.example/horse":                 "or that with /.well-known/est",
		"ldap://horse.example":                     "must be https://HOST",
		"horse.example":                            "must be https://HOST",
		"https://:443":                             "must be https://HOST",
		"https://registrar:horse@ca.example:x%zz/": "cannot be read",
		"": "must be https://HOST",
	} {
		_, err := delegate.ParseURL(text, []string{"https"}, []string{"", "/.well-known/est"})
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("ParseURL(%q) = %v, want %q", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "horse") && !strings.Contains(text, "/horse") {
			t.Errorf("ParseURL(%q) repeats it: %v", text, err)
		}
	}
	if _, err := delegate.ParseURL("http://ca.example/cmp?x=1", []string{"https", "http"}, nil); err == nil {
		t.Error("ParseURL takes a query")
	}
	if u, err := delegate.ParseURL("http://ca.example/pkix/", []string{"https", "http"}, nil); err != nil || u.Path != "/pkix/" {
		t.Errorf("ParseURL = %v, %v", u, err)
	}
}

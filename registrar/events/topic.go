package events

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Topic fills in what a target's topic or subject leaves open: {domain}, {type} and {device},
// which is "_" for events about no device.
func Topic(pattern string, m *Message) string {
	device := m.Device
	if device == "" {
		device = "_"
	}
	return strings.NewReplacer("{domain}", m.Domain, "{type}", m.Type, "{device}", device).Replace(pattern)
}

// CheckTopic says whether a pattern for Topic is good: it has no other braces, and nothing of
// what has a meaning of its own to subscribers or must not be there at all.
func CheckTopic(pattern, not string) error {
	plain := Topic(pattern, &Message{})
	if pattern == "" || len(pattern) > 500 || strings.ContainsAny(plain, "{}"+not) || strings.ContainsFunc(plain, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is none to publish to; it may have {domain}, {type} and {device} in it, and none of %s, spaces and controls", pattern, not)
	}
	return nil
}

// ServerAddress reads a broker's URL: scheme://HOST:PORT. The scheme named secure means TLS,
// the other one is for loopback addresses only.
func ServerAddress(text, secure, plain, port string) (address string, overTLS bool, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return "", false, fmt.Errorf("the url is not one; use %s://HOST:PORT, without a user", secure)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && ip.IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme != secure && (u.Scheme != plain || !loopback) {
		return "", false, fmt.Errorf("the url has the scheme %q; use %s, or %s to a loopback address", u.Scheme, secure, plain)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port, u.Scheme == secure, nil
}

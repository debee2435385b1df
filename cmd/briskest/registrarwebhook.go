package main

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/webhook"
)

// linkingConfig says how requests are linked to their TLS connection (RFC 7030, Section 3.5).
type linkingConfig struct {
	// Mode is "if-present", "required", or "off", which takes challengePassword
	// for a shared secret of your own; empty for what the profile says.
	Mode string `yaml:"mode"`
	// TLS12 is the binding in TLS 1.2: "tls-unique" (default) or "tls-exporter"
	// (RFC 9266, Section 4.1). In TLS 1.3 it is always tls-exporter.
	TLS12 string `yaml:"tls12"`
	// KeepConnection leaves a connection open after a linked request, for clients
	// that make several on one (RFC 9266, Section 4.2, asks for one).
	KeepConnection bool `yaml:"keep_connection"`
}

func (l *linkingConfig) policy() (est.LinkPolicy, error) {
	p := est.LinkPolicy{KeepConnection: l.KeepConnection}
	switch l.Mode {
	case "", registrar.LinkIfPresent, registrar.LinkRequired, registrar.LinkOff:
	default:
		return p, fmt.Errorf("linking.mode is %q; it may be if-present, required or off", l.Mode)
	}
	switch l.TLS12 {
	case "", "tls-unique":
	case "tls-exporter":
		p.ExporterInTLS12 = true
	default:
		return p, fmt.Errorf("linking.tls12 is %q; it may be tls-unique or tls-exporter", l.TLS12)
	}
	return p, nil
}

// webhookConfig is another system that decides; without a url there is none.
type webhookConfig struct {
	URL string `yaml:"url"` // https
	// Secret is a file with the key of the signatures, 16 bytes at least;
	// white space around it does not count.
	Secret string `yaml:"secret"`
	// Timeout bounds one question; default 5s, at most 30s. Who needs longer answers "wait".
	Timeout config.Duration `yaml:"timeout"`
	// TLSAnchors is a PEM file of the CAs its certificate chains to; default the system's.
	TLSAnchors string `yaml:"tls_anchors"`
	// AtOnce bounds the questions that are open; default 32.
	AtOnce int `yaml:"at_once"`
}

// ask makes the registrar's question of a webhook; nil for none.
func (c *registrarConfig) ask(w *webhookConfig) (registrar.Ask, error) {
	if w.URL == "" {
		if *w != (webhookConfig{}) {
			return nil, fmt.Errorf("webhook.url is missing")
		}
		return nil, nil //nolint:nilnil // nobody is asked
	}
	if w.Secret == "" {
		return nil, fmt.Errorf("webhook.secret is missing; it names a file with 16 bytes at least, such as from: openssl rand -hex 32")
	}
	secret, err := config.Read(c.path(w.Secret)) // not c.read: its digest does not belong on the trail
	if err != nil {
		return nil, fmt.Errorf("webhook.secret: %w", err)
	}
	hook := webhook.Config{URL: w.URL, Secret: bytes.TrimSpace(secret), Timeout: time.Duration(w.Timeout), AtOnce: w.AtOnce}
	if w.TLSAnchors != "" {
		if hook.Roots, err = pemfile.Pool(c.path(w.TLSAnchors)); err != nil {
			return nil, fmt.Errorf("webhook.tls_anchors: %w", err)
		}
	}
	client, err := webhook.New(hook)
	if err != nil {
		return nil, err
	}
	return client.Ask, nil
}

// objectIdentifiers reads dotted numbers.
func objectIdentifiers(texts []string) ([]asn1.ObjectIdentifier, error) {
	out := make([]asn1.ObjectIdentifier, 0, len(texts))
	for _, text := range texts {
		oid, err := x509.ParseOID(text)
		if err != nil {
			return nil, fmt.Errorf("%.100q is no object identifier, such as 1.2.840.113549.1.9.16.2.56", text)
		}
		var id asn1.ObjectIdentifier
		for arc := range strings.SplitSeq(oid.String(), ".") {
			n, err := strconv.Atoi(arc)
			if err != nil {
				return nil, fmt.Errorf("%.100q has a number that is too large", text)
			}
			id = append(id, n)
		}
		out = append(out, id)
	}
	return out, nil
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// maxTokenFile bounds a file with a token, in bytes.
const maxTokenFile = 16 << 10

// domain is the one that was asked for, else the one given.
func (d *registrarData) domain(otherwise string) string {
	if d.Domain != "" {
		return d.Domain
	}
	return otherwise
}

// remote is a client of the API of a registrar elsewhere.
func (d *registrarData) remote(ctx context.Context) (*registraradmin.Client, error) {
	u, err := url.Parse(d.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, cli.Usage("--server is https://HOST[:PORT], and not %q", d.Server)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.ServerAnchors != "" {
		if conf.RootCAs, err = pemfile.Pool(d.ServerAnchors); err != nil {
			return nil, err
		}
	}
	if d.ClientCert != "" {
		if d.ClientKey == "" {
			return nil, required("--client-key")
		}
		id, err := pemfile.Identity(ctx, d.ClientCert, d.ClientKey)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{*id}
	}
	client := registraradmin.NewRemote("https://"+u.Host, &http.Transport{
		TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
	})
	client.Domain = d.Domain
	if d.TokenFile != "" {
		token, err := readBounded(strings.NewReader(""), d.TokenFile, maxTokenFile)
		if err != nil {
			return nil, err
		}
		if client.Token = string(bytes.TrimSpace(token)); client.Token == "" {
			return nil, errors.New(d.TokenFile + " is empty; put the token of briskest token create into it")
		}
	}
	return client, nil
}

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/revocation"
	"github.com/briskest/briskest/voucher"
)

// beliefs are what the device asks of a voucher beyond what it always does.
type beliefs struct {
	Proximity        string              `enum:"cert,pubk,pubk-sha256" default:"cert" help:"How voucher-requests name the registrar: by its certificate (RFC 8995), its key or the key's hash (rfc8366bis). It decides which of several pins in a voucher counts."`
	RequireAssertion []voucher.Assertion `enum:"verified,logged,proximity,agent-proximity" placeholder:"ASSERTION" help:"Take vouchers with these assertions alone; default all. May be repeated."`
	RefuseNonceless  bool                `help:"Refuse vouchers without a nonce, which may be old ones. By default they are taken until they expire (RFC 8995)."`
	CRL              []string            `name:"crl" type:"existingfile" placeholder:"FILE" help:"Revocation lists to hold the registrar's certificates against, PEM or DER. May be repeated."`
	RevocationHost   []string            `placeholder:"HOST" help:"Host that may be asked about revocation although it is at a private address. May be repeated."`
}

func (b *beliefs) apply(ctx context.Context, c *pledge.Config) error {
	if b.Proximity != "cert" {
		c.Proximity = pledge.Proximity(b.Proximity)
	}
	c.Assertions, c.RefuseNonceless = b.RequireAssertion, b.RefuseNonceless
	var lists []*revocation.List
	for _, file := range b.CRL {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		more, err := revocation.ParseLists(file, data)
		if err != nil {
			return err
		}
		lists = append(lists, more...)
	}
	var err error
	c.Revocation, err = checkRevocation(ctx, lists, b.RevocationHost)
	return err
}

// checkRevocation returns what asks whether a certificate is revoked: over the
// network too where a voucher wants an answer, else the lists at hand.
func checkRevocation(ctx context.Context, lists []*revocation.List, hosts []string) (func(context.Context, *pledge.RevocationQuestion) error, error) {
	fetcher := revocation.NewFetcher(revocation.FetchConfig{MaxBytes: 8 << 20, MaxList: 4 << 20})
	context.AfterFunc(ctx, fetcher.Close)
	sure, err := revocation.New(revocation.Config{Mode: revocation.RequireAll, Lists: lists, Fetcher: fetcher, AllowedHosts: hosts})
	if err != nil {
		return nil, err
	}
	atHand, err := revocation.New(revocation.Config{Mode: revocation.Check, Lists: lists})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, q *pledge.RevocationQuestion) error {
		checker := atHand
		if q.Required {
			checker = sure
		}
		err := checker.Check(ctx, q.Chain, q.At)
		if errors.Is(err, revocation.ErrUnavailable) {
			return fmt.Errorf("%w: %w", pledge.ErrRevocationUnknown, err)
		}
		return err
	}, nil
}

// ldevidKey says where the LDevID key lives.
type ldevidKey struct {
	LDevIDKey     string             `name:"ldevid-key" placeholder:"URI" help:"Keystore URI of the LDevID's key, such as file:ldevid.key; made there if there is none, and kept when renewing. Default: in the state directory, a new one with each certificate."`
	LDevIDKeyType keystore.Algorithm `name:"ldevid-key-type" enum:"p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519,auto" default:"auto" help:"Kind of key to make: p256, p384, p521, rsa2048, rsa3072, rsa4096, ed25519; auto is what the registrar names, p256 where it names none."`

	existing bool // the command makes no keys
}

// apply opens the key, and makes it where there is none. Without a URI the
// pledge makes keys itself.
func (k *ldevidKey) apply(ctx context.Context, c *pledge.Config) error {
	algorithm := k.LDevIDKeyType
	if algorithm == "auto" {
		algorithm = ""
	}
	if k.LDevIDKey == "" {
		if algorithm != "" {
			c.NewKey = func() (crypto.Signer, error) { return keystore.Generate(algorithm) }
		}
		return nil
	}
	key, err := keystore.Open(ctx, k.LDevIDKey)
	if errors.Is(err, fs.ErrNotExist) && !k.existing {
		key, err = keystore.Create(ctx, k.LDevIDKey, algorithm)
	}
	if err != nil {
		return fmt.Errorf("LDevID key: %w", err)
	}
	c.Key = key
	return nil
}

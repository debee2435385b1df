package masa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// checkIDevID finds the products whose anchors the pledge's signer chains to.
// Its extended key usages are not looked at: IEEE 802.1AR asks for none.
func (s *Service) checkIDevID(ctx context.Context, x *exchange) error {
	x.idevid = x.priorArt.Signer
	leaf := withoutNames(x.idevid)
	bag := append(slices.Clone(x.priorArt.Certificates), x.artifact.Certificates...)
	var last error
	for _, name := range x.settings.productNames() {
		known, err := s.knownToBeSigned(ctx, x, name, leaf, bag)
		if err != nil {
			return err
		}
		if !known {
			chains, err := chainsTo(leaf, x.settings.Products[name].IDevIDAnchors, bag, x.at)
			if err != nil {
				last = err
				continue
			}
			x.signed = signedBy(chains, x.idevid.Raw)
			s.memory.rememberIssuer(x.settings, name, leaf, chains)
		}
		x.products = append(x.products, name)
	}
	if len(x.products) == 0 {
		e := forbid(ReasonIDevIDUntrusted, "RFC 8995, Section 5.5.5",
			"The prior-signed-voucher-request is not signed by a device of this manufacturer.")
		e.Err = last
		return e
	}
	return nil
}

// withoutNames returns the certificate as one whose SubjectAltName counts as
// handled. A hardwareModuleName in a critical one is usual in IDevIDs and
// unknown to crypto/x509; nothing here rests on it.
func withoutNames(idevid *x509.Certificate) *x509.Certificate {
	leaf := *idevid
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions),
		asn1.ObjectIdentifier{2, 5, 29, 17}.Equal)
	return &leaf
}

// signedBy is what is put on record of a verified IDevID ([Device].IDevIDSigned):
// which key signed exactly these bytes. Nil for an IDevID that is an anchor
// itself, whose signature nobody looked at.
func signedBy(chains [][]*x509.Certificate, idevid []byte) []byte {
	if len(chains) == 0 || len(chains[0]) < 2 {
		return nil
	}
	return signedMark(chains[0][1], idevid)
}

func signedMark(issuer *x509.Certificate, idevid []byte) []byte {
	key := keyHash(issuer)
	h := sha256.New()
	h.Write(key[:])
	h.Write(idevid)
	return h.Sum(nil)
}

// issuingCA is a CA that signed IDevIDs, with its chain up to an anchor. All
// that depends on neither the time nor the IDevID has been verified.
type issuingCA struct {
	chain    []*x509.Certificate // the CA first
	settings *Settings           // whose anchors they are
}

// issuerKey names the CA by what an IDevID says of it.
func issuerKey(product string, leaf *x509.Certificate) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(product))
	h.Write([]byte{0})
	h.Write(leaf.RawIssuer) // DER says where it ends
	h.Write(leaf.AuthorityKeyId)
	return [sha256.Size]byte(h.Sum(nil))
}

// rememberIssuer keeps the CA above leaf, unless what it may sign depends on the
// leaf by more than the time.
func (m *memory) rememberIssuer(settings *Settings, product string, leaf *x509.Certificate, chains [][]*x509.Certificate) {
	if len(chains) == 0 || len(chains[0]) < 2 {
		return
	}
	key := issuerKey(product, leaf)
	if known, ok := m.issuers.Get(key); ok && known.settings == settings && slices.EqualFunc(known.chain, chains[0][1:], (*x509.Certificate).Equal) {
		return
	}
	ca := &issuingCA{settings: settings}
	for _, c := range chains[0][1:] {
		own, err := x509.ParseCertificate(bytes.Clone(c.Raw)) // without the request that it was in
		if err != nil || len(c.Raw) > maxRememberedDER || constrains(own) {
			return
		}
		ca.chain = append(ca.chain, own)
	}
	m.issuers.Put(key, ca)
}

// constrains tells whether a CA limits what may be below it by names or
// policies (RFC 5280, Sections 4.2.1.5, 4.2.1.10, 4.2.1.11 and 4.2.1.14).
func constrains(ca *x509.Certificate) bool {
	for _, e := range ca.Extensions {
		for _, last := range []int{30, 33, 36, 54} {
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, last}) {
				return true
			}
		}
	}
	return false
}

// issued tells whether the CA may have issued leaf at that time, the signature
// apart. What is between it and the anchor has to be in bag, as if it was built anew.
func (ca *issuingCA) issued(leaf *x509.Certificate, bag []*x509.Certificate, at time.Time) bool {
	within := func(c *x509.Certificate) bool { return !at.Before(c.NotBefore) && !at.After(c.NotAfter) }
	if len(leaf.UnhandledCriticalExtensions) > 0 || !within(leaf) || !bytes.Equal(leaf.RawIssuer, ca.chain[0].RawSubject) ||
		bytes.Equal(leaf.RawSubject, leaf.RawIssuer) {
		return false
	}
	for i, c := range ca.chain {
		anchor := i == len(ca.chain)-1
		if !within(c) || !anchor && !slices.ContainsFunc(bag, c.Equal) {
			return false
		}
	}
	return true
}

// knownToBeSigned tells whether leaf is good for the product without verifying
// its signature: it has been verified before, by a key that is that of a CA
// below the product's anchors now. Everything else about it is checked.
func (s *Service) knownToBeSigned(ctx context.Context, x *exchange, product string, leaf *x509.Certificate, bag []*x509.Certificate) (bool, error) {
	ca, ok := s.memory.issuers.Get(issuerKey(product, leaf))
	if !ok || ca.settings != x.settings || !ca.issued(leaf, bag, x.at) {
		return false, nil
	}
	devices, err := s.store.FindDevices(ctx, x.settings.Domain, x.request.SerialNumber)
	if err != nil {
		return false, fmt.Errorf("device %q: %w", x.request.SerialNumber, err)
	}
	mark := signedMark(ca.chain[0], leaf.Raw)
	known := slices.ContainsFunc(devices, func(d *Device) bool {
		return bytes.Equal(d.IDevID, leaf.Raw) && bytes.Equal(d.IDevIDSigned, mark)
	})
	if known {
		x.signed = mark
	}
	return known, nil
}

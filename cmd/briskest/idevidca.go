package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/ca/localca"
	"github.com/briskest/briskest/ca/profile"
	"github.com/briskest/briskest/internal/keystore"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
	"github.com/briskest/briskest/voucher"
)

// idevidCAConfig is the CA that signs a product's IDevIDs (briskest masa idevid
// issue). The MASA itself does without.
type idevidCAConfig struct {
	// Certificate is a PEM file: the CA that signs first, then each CA above it, the root last.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"` // keystore URI of its key
	// MASAURL is where the MASA is, put into each IDevID (RFC 8995, Section 2.3.2).
	MASAURL string `yaml:"masa_url"`
	// Organization in the subject; empty for none.
	Organization string `yaml:"organization"`
	// HWTypes are the object identifiers of the kinds of hardware, the first one for
	// devices that name none: each IDevID then has a HardwareModuleName
	// (RFC 4108, Section 5). Empty for none.
	HWTypes []string `yaml:"hw_types"`
	// CRL are http URLs of the CA's revocation list. Empty: registrars have nobody to ask.
	CRL []string `yaml:"crl"`
}

// idevidCA issues the IDevIDs of one product. Each is on record at the MASA
// before it is signed, and is known there by its certificate afterwards.
type idevidCA struct {
	product string
	sharing []string // other products whose IDevIDs the same CA signs
	config  idevidCAConfig
	issuer  *localca.CA
	above   []*x509.Certificate // what devices show beside the IDevID: the CAs but the root
	hwTypes []asn1.ObjectIdentifier
	devices masaadmin.Inventory
	record  record
}

// idevidProfile is the name of the one profile.
const idevidProfile = "idevid"

// idevidCA opens the CA of a product.
func (c *masaConfig) idevidCA(ctx context.Context, product string, devices masaadmin.Inventory, record record) (*idevidCA, error) {
	i := slices.IndexFunc(c.Products, func(p productConfig) bool { return p.Name == product })
	if i < 0 {
		return nil, c.wrong(fmt.Errorf("there is no product %q", product))
	}
	out := &idevidCA{product: product, config: c.Products[i].IDevIDCA, devices: devices, record: record}
	if out.config.Certificate == "" || out.config.Key == "" || out.config.MASAURL == "" {
		return nil, c.wrong(fmt.Errorf("product %s has no idevid_ca with certificate, key and masa_url; briskest masa idevid init makes one and prints what to write", product))
	}
	for _, p := range c.Products {
		if p.Name != product && p.IDevIDCA.Certificate == out.config.Certificate {
			out.sharing = append(out.sharing, p.Name)
		}
	}
	if err := out.open(ctx, &c.source); err != nil {
		return nil, c.wrong(fmt.Errorf("product %s: idevid_ca: %w", product, err))
	}
	return out, nil
}

func (c *idevidCA) open(ctx context.Context, s *source) error {
	chain, err := pemfile.Certificates(s.path(c.config.Certificate))
	if err != nil {
		return err
	}
	key, err := keystore.Open(ctx, s.uri(c.config.Key))
	if err != nil {
		return err
	}
	if c.hwTypes, err = objectIdentifiers(c.config.HWTypes); err != nil {
		return err
	}
	url, err := asn1.MarshalWithParams(c.config.MASAURL, "ia5")
	if err == nil {
		_, err = voucher.ParseMASAURL(url)
	}
	if err != nil {
		return fmt.Errorf("masa_url: %w", err)
	}
	d := profile.IDevID(c.config.MASAURL)
	d.Name, d.CRL = idevidProfile, c.config.CRL
	if len(c.hwTypes) > 0 {
		d.SAN.HardwareModule = &profile.HardwareModuleRule{Request: true, Types: c.config.HWTypes, Required: true}
	}
	p, err := profile.New(d)
	if err != nil {
		return err
	}
	c.issuer, err = localca.New(localca.Config{
		Certificate: chain[0], Chain: chain[1:], Key: key, Profiles: map[string]*profile.Profile{p.Name(): p},
	})
	for _, above := range chain {
		if !bytes.Equal(above.RawIssuer, above.RawSubject) {
			c.above = append(c.above, above)
		}
	}
	return err
}

// masaURLFor is where a MASA that listens there is found.
func masaURLFor(listen string, hosts []string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) && len(hosts) > 0 {
		listen = net.JoinHostPort(hosts[0], port)
	}
	return "https://" + listen + "/.well-known/brski"
}

// idevidRequest is one IDevID to be made.
type idevidRequest struct {
	serial   string
	hwType   asn1.ObjectIdentifier // nil for the first configured
	hwSerial string                // empty for serial
	batch    string
	key      crypto.PublicKey // proof of possession was checked
}

// idevid is one IDevID.
type idevid struct {
	certificate *x509.Certificate
	kept        bool // it was on record already, for the same key
}

// check does everything but to issue: it returns what stands in the way.
func (c *idevidCA) check(ctx context.Context, requests []idevidRequest) ([]masa.ImportProblem, error) {
	return c.reserve(ctx, requests, true)
}

// issue makes IDevIDs, at most masa.MaxImport, in the order of the requests. A
// device that has one for the same key gets that; a serial number that has
// another key is a problem, and then none is made.
func (c *idevidCA) issue(ctx context.Context, requests []idevidRequest) ([]idevid, []masa.ImportProblem, error) {
	problems, err := c.reserve(ctx, requests, false)
	if err != nil || len(problems) > 0 {
		return nil, problems, err
	}
	out := make([]idevid, len(requests))
	err = inParallel(len(requests), func(i int) error {
		var err error
		if out[i], err = c.one(ctx, &requests[i]); err != nil {
			err = fmt.Errorf("IDevID of %q: %w", requests[i].serial, err)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	made := &masa.Import{Product: c.product, By: actor(), Devices: make([]masa.ImportDevice, len(out))}
	for i := range out {
		made.Devices[i] = masa.ImportDevice{SerialNumber: requests[i].serial, IDevID: out[i].certificate.Raw}
	}
	report, err := c.devices.ImportDevices(ctx, made)
	if err != nil {
		return nil, nil, fmt.Errorf("the IDevIDs are signed, and are not on record: run the same command again: %w", err)
	}
	return out, report.Problems, nil
}

// reserve puts each device on record with the hash of its key: from then on
// its serial number is its own.
func (c *idevidCA) reserve(ctx context.Context, requests []idevidRequest, dryRun bool) ([]masa.ImportProblem, error) {
	in := &masa.Import{Product: c.product, By: actor(), DryRun: dryRun, Devices: make([]masa.ImportDevice, len(requests))}
	problems, err := c.elsewhere(ctx, requests)
	if err != nil {
		return nil, err
	}
	for i := range requests {
		hash, err := c.checkRequest(&requests[i])
		if err != nil {
			problems = append(problems, masa.ImportProblem{Row: i + 1, SerialNumber: requests[i].serial, Problem: err.Error()})
		}
		in.Devices[i] = masa.ImportDevice{SerialNumber: requests[i].serial, KeyHash: hash[:], Batch: requests[i].batch}
	}
	if len(problems) > 0 {
		return problems, nil
	}
	report, err := c.devices.ImportDevices(ctx, in)
	if err != nil {
		return nil, err
	}
	return report.Problems, nil
}

// checkRequest holds a request against the profile, and returns the hash of its key.
func (c *idevidCA) checkRequest(r *idevidRequest) (hash [sha256.Size]byte, err error) {
	if err := c.checkHardware(r); err != nil {
		return hash, err
	}
	p := c.issuer.Profile(idevidProfile)
	if err := p.CheckKey(r.key); err != nil {
		return hash, err
	}
	request, err := c.request(r)
	if err == nil {
		err = p.CheckNames(request.Subject, &request.Names)
	}
	if err != nil {
		return hash, err
	}
	spki, err := profile.MarshalPublicKey(r.key)
	return sha256.Sum256(spki), err
}

// elsewhere looks for the serial numbers among the products that share the CA:
// a serial number is unique to its issuer (RFC 8366, Section 5.3).
func (c *idevidCA) elsewhere(ctx context.Context, requests []idevidRequest) ([]masa.ImportProblem, error) {
	var problems []masa.ImportProblem
	for _, other := range c.sharing {
		for i, r := range requests {
			_, err := c.devices.Device(ctx, masa.DeviceRef{Product: other, SerialNumber: r.serial})
			switch {
			case err == nil:
				problems = append(problems, masa.ImportProblem{Row: i + 1, SerialNumber: r.serial, Problem: "the same CA has a device with this serial number, of product " + other})
			case !errors.Is(err, masa.ErrNotFound):
				return nil, err
			}
		}
	}
	return problems, nil
}

// one finds the IDevID that is on record for the device, or signs one.
func (c *idevidCA) one(ctx context.Context, r *idevidRequest) (idevid, error) {
	found, err := c.devices.Device(ctx, masa.DeviceRef{Product: c.product, SerialNumber: r.serial})
	if err != nil {
		return idevid{}, err
	}
	if len(found.Device.IDevID) > 0 { // reserve has compared the key
		cert, err := x509.ParseCertificate(found.Device.IDevID)
		return idevid{cert, true}, err
	}
	request, err := c.request(r)
	if err != nil {
		return idevid{}, err
	}
	cert, err := c.issuer.Certify(ctx, request)
	return idevid{certificate: cert}, err
}

// request gives the IDevID its names: the serial number (RFC 8995, Section
// 2.3.1), and the hardware module where there are kinds of them.
func (c *idevidCA) request(r *idevidRequest) (*ca.Request, error) {
	name := pkix.Name{SerialNumber: r.serial}
	if c.config.Organization != "" {
		name.Organization = []string{c.config.Organization}
	}
	out := &ca.Request{Profile: idevidProfile, PublicKey: r.key, Subject: name.ToRDNSequence(), Record: c.record}
	if len(c.hwTypes) == 0 {
		return out, nil
	}
	hwType, hwSerial := r.hwType, r.hwSerial
	if hwType == nil {
		hwType = c.hwTypes[0]
	}
	if hwSerial == "" {
		hwSerial = r.serial
	}
	module, err := profile.HardwareModuleName(hwType, []byte(hwSerial))
	out.Names.Other = [][]byte{module}
	return out, err
}

// checkHardware says what is wrong with what a request says of its hardware.
func (c *idevidCA) checkHardware(r *idevidRequest) error {
	switch {
	case r.hwType == nil && r.hwSerial == "":
		return nil
	case len(c.hwTypes) == 0:
		return fmt.Errorf("product %s has no hw_types", c.product)
	case r.hwType != nil && !slices.ContainsFunc(c.hwTypes, r.hwType.Equal):
		return fmt.Errorf("hw_type %s is none of the product's: %s", r.hwType, strings.Join(c.config.HWTypes, ", "))
	}
	return nil
}

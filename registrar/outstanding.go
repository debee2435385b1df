package registrar

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/trail"
)

// decidedIssuance is what was decided about an outstanding issuance, so that it
// can be gone on with while its device is away, and by the next process.
type decidedIssuance struct {
	Label   string   `json:"label"`
	Key     []byte   `json:"key"`     // SubjectPublicKeyInfo
	Subject []byte   `json:"subject"` // RDNSequence in DER
	DNS     []string `json:"dns,omitempty"`
	IP      []net.IP `json:"ip,omitempty"`
	Email   []string `json:"email,omitempty"`
	URI     []string `json:"uri,omitempty"`
	Other   [][]byte `json:"other,omitempty"`
	Code    *codeUse `json:"code,omitempty"`
	// Nobody says why nobody is to get the certificate: it is revoked when it comes.
	Nobody string `json:"nobody,omitempty"`
	// Ready says that the certificate is on record and waits for its device.
	Ready bool `json:"ready,omitempty"`
}

// codeUse is the one-time code that an issuance spends.
type codeUse struct {
	SerialNumber string `json:"serial_number"`
	Digest       []byte `json:"digest"`
}

// decided is what is kept of the decision.
func (i *issuance) decided() (*decidedIssuance, error) {
	key, err := x509.MarshalPKIXPublicKey(i.c.CSR.PublicKey)
	if err != nil {
		return nil, err
	}
	subject, err := asn1.Marshal(i.d.Subject)
	if err != nil {
		return nil, err
	}
	n := &i.d.Names
	out := &decidedIssuance{Label: i.c.Label.Name, Key: key, Subject: subject, DNS: n.DNS, IP: n.IP, Email: n.Email, Other: n.Other}
	for _, u := range n.URI {
		out.URI = append(out.URI, u.String())
	}
	for _, spent := range i.spending() {
		out.Code = &codeUse{spent.SerialNumber, spent.Digest}
	}
	if i.c.Generate != nil {
		out.Nobody = "its key was made here, for an answer that could not be given"
	}
	return out, nil
}

// decision is what was decided, and for which key.
func (d *decidedIssuance) decision(profile string) (*Decision, any, error) {
	key, err := x509.ParsePKIXPublicKey(d.Key)
	if err != nil {
		return nil, nil, err
	}
	out := &Decision{Verdict: Allow, Profile: profile, Rule: "issuer", Names: ca.Names{DNS: d.DNS, IP: d.IP, Email: d.Email, Other: d.Other}}
	var subject pkix.RDNSequence
	if _, err := asn1.Unmarshal(d.Subject, &subject); err != nil {
		return nil, nil, err
	}
	out.Subject = subject
	for _, text := range d.URI {
		u, err := url.Parse(text)
		if err != nil {
			return nil, nil, err
		}
		out.Names.URI = append(out.Names.URI, u)
	}
	return out, key, nil
}

// row is the Outstanding that says so.
func (d *decidedIssuance) row(of *Certificate, csr, state []byte) (*Outstanding, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return &Outstanding{Domain: of.Domain, ID: of.ID, CSR: csr, Decided: raw, State: state}, nil
}

// asking is what the same request has in common with its repetition.
type asking struct {
	device                      string // deviceKey
	key, names                  [32]byte
	credential, profile, issuer string
}

// opening is an issuance that another CA has not finished, or whose certificate
// waits for its device. It is held by who has the device's lock.
type opening struct {
	id     string
	of     asking
	over   chan struct{}
	notYet time.Time // before which the CA does not want to be asked; by the device's lock
	last   *ca.Later // what it said; by the device's lock; nil when the process has not asked
	tries  int       // by the device's lock
}

// openings are all of them. What counts is the record; these say where to look.
type openings struct {
	mu      sync.Mutex
	byID    map[string]*opening // guarded by mu
	byAsk   map[asking]*opening // guarded by mu
	devices map[string]int      // how many a device has; guarded by mu
	issuers map[string]int      // how many an issuer has; guarded by mu
}

// reserve adds one, unless the device, the issuer or the service has as many as it may.
func (o *openings) reserve(v *version, add *opening) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.byID) >= v.Limits.Pending || o.issuers[add.of.issuer] >= v.share(v.Limits.Pending) ||
		o.devices[add.of.device] >= v.Limits.PendingPerDevice {
		return false
	}
	o.add(add)
	return true
}

// restore adds one that is on record.
func (o *openings) restore(add *opening) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(add)
}

func (o *openings) add(add *opening) {
	if o.byID == nil {
		o.byID, o.byAsk, o.devices, o.issuers = make(map[string]*opening), make(map[asking]*opening), make(map[string]int), make(map[string]int)
	}
	add.over = make(chan struct{})
	o.byID[add.id], o.byAsk[add.of] = add, add
	o.devices[add.of.device]++
	o.issuers[add.of.issuer]++
}

// remove takes one away that is finished.
func (o *openings) remove(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.byID[id]
	if e == nil {
		return
	}
	close(e.over)
	delete(o.byID, id)
	if o.byAsk[e.of] == e {
		delete(o.byAsk, e.of)
	}
	if o.devices[e.of.device]--; o.devices[e.of.device] <= 0 {
		delete(o.devices, e.of.device)
	}
	if o.issuers[e.of.issuer]--; o.issuers[e.of.issuer] <= 0 {
		delete(o.issuers, e.of.issuer)
	}
}

// of returns the one that a request repeats; nil for none.
func (o *openings) of(a asking) *opening {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byAsk[a]
}

func (o *openings) find(id string) *opening {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byID[id]
}

// has tells whether a device has any.
func (o *openings) has(device string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.devices[device] > 0
}

// asking is what a request for a certificate has in common with its repetition.
func (i *issuance) asking() asking {
	return asking{
		device: deviceKey(i.device.Manufacturer, i.device.SerialNumber), key: i.c.KeyHash, names: i.c.NamesHash,
		credential: i.c.Identity.Credential, profile: i.d.Profile, issuer: i.by.name,
	}
}

// takeUp has a request that repeats an outstanding one go on with that: nil, nil
// and false where there is none, and a new one is to be issued.
func (s *Service) takeUp(ctx context.Context, i *issuance) ([]byte, *Decision, bool) {
	e := s.openings.of(i.asking())
	if e == nil {
		return nil, nil, false
	}
	row, kept, d, err := s.opened(ctx, i.v, e)
	switch {
	case err != nil:
		return nil, storeFailed("outstanding", err), true
	case row == nil:
		return nil, nil, false
	case d.Nobody != "":
		return nil, nil, false
	case row.Status == Issued:
		s.collected(ctx, e, kept)
		return row.Raw, nil, i.c.At.Before(row.NotAfter)
	case i.c.At.Sub(row.IntendedAt) > i.v.Limits.IssuerGiveUp:
		s.giveUp(ctx, row, i.v)
		return nil, nil, false
	}
	i.row, i.id, i.kept, i.opening, i.keeps = row, row.ID, kept, e, d
	if wait := e.notYet.Sub(i.c.At); wait > 0 {
		return nil, i.wait(&ca.Later{Err: e.last.Err, After: wait}), true
	}
	raw, refused := i.ask(ctx)
	return raw, refused, true
}

// opened reads an opening from the record; a nil row says that it is one no more.
func (s *Service) opened(ctx context.Context, v *version, e *opening) (*Certificate, *Outstanding, *decidedIssuance, error) {
	row, err := s.store.Certificate(ctx, v.Domain, e.id)
	if err != nil {
		return nil, nil, nil, err
	}
	kept, err := found(s.store.Outstanding(ctx, v.Domain, e.id))
	if err != nil {
		return nil, nil, nil, err
	}
	if kept == nil || row.Status != Intended && row.Status != Issued {
		s.openings.remove(e.id)
		return nil, nil, nil, nil
	}
	d := new(decidedIssuance)
	if err := json.Unmarshal(kept.Decided, d); err != nil {
		return nil, nil, nil, fmt.Errorf("outstanding issuance %s: %w", e.id, err)
	}
	return row, kept, d, nil
}

// collected notes that a device has got the certificate that waited for it. What
// cannot be recorded now is handed out once more.
func (s *Service) collected(ctx context.Context, e *opening, kept *Outstanding) {
	if err := s.commit(ctx, &Change{DropOutstanding: []*Outstanding{kept}}); err == nil {
		s.openings.remove(e.id)
	}
}

// giveUp abandons an intent that another CA has not answered for too long.
func (s *Service) giveUp(ctx context.Context, row *Certificate, v *version) {
	s.abandon(ctx, row, "issuer", s.now(), fmt.Sprintf("issuer %s gave no certificate within %s; one that it signs later is given to nobody",
		row.Issuer, v.Limits.IssuerGiveUp))
}

// stop has nobody get what comes of an outstanding issuance. False says that it
// is outstanding no more, or that it was so.
func (s *Service) stop(ctx context.Context, v *version, id, actor string) (bool, error) {
	e := s.openings.find(id)
	if e == nil {
		return false, nil
	}
	unlock, err := s.devices.lock(ctx, e.of.device)
	if err != nil {
		return false, err
	}
	defer unlock()
	row, kept, d, err := s.opened(ctx, v, e)
	if err != nil || row == nil || row.Status != Intended || d.Nobody != "" {
		return false, err
	}
	d.Nobody = "certificates of its kind were revoked by " + actor
	stopped, err := d.row(row, kept.CSR, kept.State)
	if err != nil {
		return false, err
	}
	b := newBody().str("id", row.ID).str("issuer", row.Issuer).str("subject", row.Subject)
	change := &Change{PutOutstanding: []*Outstanding{stopped}, Trail: []*trail.Entry{s.act(v, actor, KindIssuanceStopped, row.DeviceID, b)}}
	return true, s.store.Commit(ctx, change)
}

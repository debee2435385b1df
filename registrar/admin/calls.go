package admin

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/registrar"
)

// By is in every request: whose objects it is about, and who acts.
type By struct {
	Domain string `json:"domain,omitempty"` // empty for the registrar's
	Actor  string `json:"actor,omitempty"`  // such as "cli:root"; for the trail
}

// Page asks for a part of a list.
type Page struct {
	By
	After string `json:"after,omitempty"` // the last one's ID or serial number of the page before; empty for the start
	Limit int    `json:"limit,omitempty"` // 1 to 10000, which is the default
}

// Nothing is an answer without content.
type Nothing struct{}

type api struct{ s *registrar.Service }

// ImportDevices brings devices into the inventory; see registrar.ImportRequest.
type ImportDevices struct {
	By
	Manufacturer string         `json:"manufacturer"`
	Devices      []ImportDevice `json:"devices"`
	DryRun       bool           `json:"dry_run,omitempty"`
}

// ImportDevice is one device of an import.
type ImportDevice struct {
	SerialNumber string `json:"serial_number,omitempty"`
	IDevID       []byte `json:"idevid,omitempty"` // DER
	// Owner is whose it is, at a cloud registrar; "" for nobody's. Absent: as it was.
	Owner *string `json:"owner,omitempty"`
}

// Imported says what an import did. With problems nothing was imported.
type Imported struct {
	Added    int       `json:"added"`
	Known    int       `json:"known"`
	Given    int       `json:"given,omitempty"` // that have another owner now, at a cloud registrar
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one device that cannot be imported.
type Problem struct {
	Index        int    `json:"index"`
	SerialNumber string `json:"serial_number"`
	Text         string `json:"text"`
}

func (a *api) importDevices(ctx context.Context, in *ImportDevices) (*Imported, error) {
	r := &registrar.ImportRequest{Domain: in.Domain, Actor: in.Actor, Manufacturer: in.Manufacturer, DryRun: in.DryRun}
	for _, d := range in.Devices {
		r.Devices = append(r.Devices, registrar.ImportDevice{SerialNumber: d.SerialNumber, IDevID: d.IDevID, Owner: d.Owner})
	}
	result, err := a.s.ImportDevices(ctx, r)
	if err != nil && (result == nil || len(result.Problems) == 0) {
		return nil, err
	}
	out := &Imported{Added: result.Added, Known: result.Known, Given: result.Given}
	for _, p := range result.Problems {
		out.Problems = append(out.Problems, Problem{p.Index, p.SerialNumber, p.Text})
	}
	return out, nil
}

// Devices is a page of the inventory.
type Devices struct {
	Devices []Device `json:"devices"`
}

func (a *api) listDevices(ctx context.Context, in *Page) (*Devices, error) {
	list, err := a.s.ListDevices(ctx, in.Domain, in.After, in.Limit)
	return &Devices{each(list, func(d *registrar.Device) Device { return deviceOut(d, false) })}, err
}

// Ref names a device by its ID or serial number.
type Ref struct {
	By
	Device string `json:"device"`
}

// DeviceView is a device with all that is on record about it.
type DeviceView struct {
	Device       Device        `json:"device"`
	Owner        string        `json:"owner,omitempty"` // at a cloud registrar
	Certificates []Certificate `json:"certificates"`
	Vouchers     []Voucher     `json:"vouchers"`
	Reports      []Report      `json:"telemetry"`
}

func (a *api) showDevice(ctx context.Context, in *Ref) (*DeviceView, error) {
	view, err := a.s.Device(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	return &DeviceView{
		deviceOut(view.Device, true), view.Owner,
		each(view.Certificates, func(c *registrar.Certificate) Certificate { return certificateOut(c, true) }),
		each(view.Vouchers, voucherOut), each(view.Reports, reportOut),
	}, nil
}

// Explanation is why a device got what it got.
type Explanation struct {
	SerialNumber string    `json:"serial_number"`
	Devices      []Device  `json:"devices"`
	Pending      []Pending `json:"requests"`
	// Outstanding are issuances that another CA has not finished.
	Outstanding []Certificate `json:"outstanding"`
	Entries     []Entry       `json:"entries"` // oldest first
}

func (a *api) why(ctx context.Context, in *Ref) (*Explanation, error) {
	why, err := a.s.Why(ctx, in.Domain, in.Device)
	if err != nil {
		return nil, err
	}
	return &Explanation{
		why.SerialNumber, each(why.Devices, func(d *registrar.Device) Device { return deviceOut(d, false) }),
		each(why.Pending, pendingOut), each(why.Outstanding, func(c *registrar.Certificate) Certificate { return certificateOut(c, false) }),
		each(why.Entries, entryOut),
	}, nil
}

// DeviceState changes a device's state: "suspended", "decommissioned", or back.
type DeviceState struct {
	By
	Device string `json:"device"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

func (a *api) setDeviceState(ctx context.Context, in *DeviceState) (*Device, error) {
	d, err := a.s.SetDeviceState(ctx, &registrar.StateChange{
		Domain: in.Domain, Actor: in.Actor, Device: in.Device, State: registrar.DeviceState(in.State), Reason: in.Reason,
	})
	if err != nil {
		return nil, err
	}
	out := deviceOut(d, false)
	return &out, nil
}

// RequestList filters requests by state: "waiting", "approved", "denied", or all.
type RequestList struct {
	By
	State string `json:"state,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// Requests are requests, newest first.
type Requests struct {
	Requests []Pending `json:"requests"`
}

func (a *api) listRequests(ctx context.Context, in *RequestList) (*Requests, error) {
	list, err := a.s.ListPending(ctx, in.Domain, in.State, in.Limit)
	return &Requests{each(list, pendingOut)}, err
}

// Verdict decides about a request.
type Verdict struct {
	By
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

func (a *api) approve(ctx context.Context, in *Verdict) (*Pending, error) {
	return decided(a.s.Approve(ctx, &registrar.Verdicting{Domain: in.Domain, Actor: in.Actor, ID: in.ID, Reason: in.Reason}))
}

func (a *api) deny(ctx context.Context, in *Verdict) (*Pending, error) {
	return decided(a.s.Deny(ctx, &registrar.Verdicting{Domain: in.Domain, Actor: in.Actor, ID: in.ID, Reason: in.Reason}))
}

func decided(p *registrar.Pending, err error) (*Pending, error) {
	if err != nil {
		return nil, err
	}
	out := pendingOut(p)
	return &out, nil
}

// AddCredential adds an HTTP credential. An empty password has one generated.
type AddCredential struct {
	By
	User     string `json:"user"`
	Group    bool   `json:"group,omitempty"`
	Password string `json:"password,omitempty"`
	Replace  bool   `json:"replace,omitempty"`
}

// NewCredential is a credential with its secret, shown this once.
type NewCredential struct {
	User   string `json:"user"`
	Secret string `json:"secret"`
}

func (a *api) addCredential(ctx context.Context, in *AddCredential) (*NewCredential, error) {
	secret, err := a.s.AddCredential(ctx, &registrar.NewCredential{
		Domain: in.Domain, Actor: in.Actor, User: in.User, Group: in.Group, Password: est.Secret(in.Password), Replace: in.Replace,
	})
	return &NewCredential{in.User, secret.Reveal()}, err
}

// Credentials are the credentials without their secrets.
type Credentials struct {
	Credentials []Credential `json:"credentials"`
}

func (a *api) listCredentials(ctx context.Context, in *By) (*Credentials, error) {
	list, err := a.s.ListCredentials(ctx, in.Domain)
	return &Credentials{each(list, func(k *registrar.Credential) Credential {
		return Credential{k.User, k.Scheme, k.Group, k.Disabled, k.CreatedAt}
	})}, err
}

// User names a credential.
type User struct {
	By
	User string `json:"user"`
}

func (a *api) disableCredential(ctx context.Context, in *User) (*Nothing, error) {
	return &Nothing{}, a.s.DisableCredential(ctx, in.Domain, in.Actor, in.User)
}

// CertificateList filters certificates.
type CertificateList struct {
	Page
	Device string `json:"device,omitempty"` // ID
	Issuer string `json:"issuer,omitempty"`
	Status string `json:"status,omitempty"` // "intended", "issued", "abandoned" or "revoked"
	Raw    bool   `json:"raw,omitempty"`    // with the DER
}

// Certificates is a page of certificates in order of ID.
type Certificates struct {
	Certificates []Certificate `json:"certificates"`
}

func (a *api) listCertificates(ctx context.Context, in *CertificateList) (*Certificates, error) {
	switch status := registrar.CertificateStatus(in.Status); status {
	case "", registrar.Intended, registrar.Issued, registrar.Abandoned, registrar.Revoked:
	default:
		return nil, fmt.Errorf("status %q: %w", in.Status, registrar.ErrInvalid)
	}
	list, err := a.s.ListCertificates(ctx, &registrar.CertificateQuery{
		Domain: in.Domain, DeviceID: in.Device, Issuer: in.Issuer, Status: registrar.CertificateStatus(in.Status), After: in.After, Limit: in.Limit,
	})
	return &Certificates{each(list, func(c *registrar.Certificate) Certificate { return certificateOut(c, in.Raw) })}, err
}

// Issue has a certificate issued on the operator's word.
type Issue struct {
	By
	Label string `json:"label"` // whose profile decides
	CSR   []byte `json:"csr"`   // PKCS#10, DER
	// Own says that it is for the registrar itself, whose profile decides.
	Own bool `json:"own,omitempty"`
}

// Issued is an issued certificate.
type Issued struct {
	Certificate []byte `json:"certificate"` // DER
}

func (a *api) issue(ctx context.Context, in *Issue) (*Issued, error) {
	csr, err := x509.ParseCertificateRequest(in.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("CSR: %w: %w", registrar.ErrInvalid, err)
	}
	raw, err := a.s.IssueCertificate(ctx, &registrar.IssueRequest{Domain: in.Domain, Actor: in.Actor, Label: in.Label, CSR: csr, Own: in.Own})
	return &Issued{raw}, err
}

// SignCRL says which list to sign; the zero value is that of all that the
// default issuer's CA has revoked.
type SignCRL struct {
	By
	Authority  string `json:"authority,omitempty"`  // name of an issuer, or of the CA's key on record
	Partitions int    `json:"partitions,omitempty"` // 0 is 1
	Index      int    `json:"index,omitempty"`
	Delta      bool   `json:"delta,omitempty"`
}

func (a *api) signCRL(ctx context.Context, in *SignCRL) (*CRL, error) {
	list, err := a.s.SignCRL(ctx, in.Domain, in.Actor, registrar.CRLScope{
		Authority: in.Authority, Count: in.Partitions, Index: in.Index, Delta: in.Delta,
	})
	if err != nil {
		return nil, err
	}
	return crlOut(list), nil
}

func (a *api) showCRL(ctx context.Context, in *By) (*CRL, error) {
	list, err := a.s.LatestCRL(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return crlOut(list), nil
}

// TrailList asks for entries of the trail.
type TrailList struct {
	By
	Device string `json:"device,omitempty"` // ID
	From   int64  `json:"from,omitempty"`   // sequence number
	Limit  int    `json:"limit,omitempty"`
}

// Entries is a part of the trail.
type Entries struct {
	Entries []Entry `json:"entries"`
}

func (a *api) listTrail(ctx context.Context, in *TrailList) (*Entries, error) {
	list, err := a.s.TrailEntries(ctx, in.Domain, in.Device, in.From, in.Limit)
	return &Entries{each(list, entryOut)}, err
}

// Status is how the registrar is doing.
type Status struct {
	Domain    string           `json:"domain"`
	Settings  string           `json:"settings"`
	Labels    []string         `json:"labels"`
	Waiting   int              `json:"waiting"`
	Exchanges int              `json:"exchanges"`
	Refused   map[string]int64 `json:"refused"`
	Dropped   int64            `json:"dropped"`
}

func (a *api) status(ctx context.Context, in *By) (*Status, error) {
	s, err := a.s.Status(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &Status{s.Domain, s.Settings, s.Labels, s.Waiting, s.Exchanges, s.Refused, s.Dropped}, nil
}

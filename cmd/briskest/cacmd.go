package main

import (
	"context"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type caCmd struct {
	Init     caInitCmd     `cmd:"" help:"Make a root and an issuing CA, in files or in a token."`
	CSR      caCSRCmd      `cmd:"" name:"csr" help:"Ask for the certificate of a CA whose root is elsewhere."`
	Certify  caCertifyCmd  `cmd:"" aliases:"sign-csr" help:"Have a root certify a CA: the answer to csr, on the machine that has the root's key."`
	Install  caInstallCmd  `cmd:"" help:"Put in the certificate that csr asked for."`
	Renew    caRenewCmd    `cmd:"" help:"Make the CA's certificates anew, for the same keys: one that has ended too."`
	Rollover caRolloverCmd `cmd:"" help:"Change the keys of the root and the issuing CA; cacerts then links old and new."`
	Status   caStatusCmd   `cmd:"" help:"Which certificates and keys there are, how long they last, and what to do about it."`
	List     caListCmd     `cmd:"" help:"List certificates, intents without an outcome included."`
	Revoke   caRevokeCmd   `cmd:"" help:"Revoke certificates, or put them on hold; they authenticate nothing from now on."`
	Release  caReleaseCmd  `cmd:"" help:"Take a certificate from hold; it authenticates again."`
	CRL      caCRLCmd      `cmd:"" name:"crl" help:"Sign and print a certificate revocation list."`
	Profile  caProfileCmd  `cmd:"" help:"List, show, check and try certificate profiles."`
}

type caListCmd struct {
	registrarData
	Device string `help:"Only certificates of this device ID."`
	Issuer string `help:"Only certificates of this issuer."`
	Status string `enum:"intended,issued,abandoned,revoked,all" default:"all" help:"intended, issued, abandoned, revoked or all."`
	output
}

// certificateRow is one line about a certificate.
type certificateRow struct {
	Serial    string    `json:"serial"` // lower-case hex
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Status    string    `json:"status"`
	Profile   string    `json:"profile"`
	Issuer    string    `json:"issuer"`
	Device    string    `json:"device"`
	Operation string    `json:"operation"`
	Detail    string    `json:"detail,omitempty"` // of a revocation or an abandoned intent
}

func certificateRows(list []registraradmin.Certificate) []certificateRow {
	var rows []certificateRow
	for _, c := range list {
		row := certificateRow{c.Serial, c.Subject, c.NotBefore, c.NotAfter, c.Status, c.Profile, c.Issuer, c.Device, c.Operation, c.Explanation}
		if c.RevokedAt != nil && c.Status == "revoked" { // not one that was released
			row.Detail = "revoked " + c.RevokedAt.Format(time.RFC3339) + ", " + reasonName(c.RevokeReason)
		}
		if c.Status == "intended" {
			row.Detail = "open for " + time.Since(c.IntendedAt).Round(time.Second).String()
		}
		rows = append(rows, row)
	}
	return rows
}

// Run lists certificates in order of serial number.
func (c *caListCmd) Run(ctx context.Context, s streams) error {
	query := registraradmin.CertificateList{Device: c.Device, Issuer: c.Issuer, Status: c.Status}
	if c.Status == "all" {
		query.Status = ""
	}
	var list []registraradmin.Certificate
	err := c.operate(ctx, s, func(client *registraradmin.Client) error {
		for cert, err := range client.Certificates(ctx, query) {
			if err != nil {
				return err
			}
			list = append(list, cert)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.PrintList(s.Out, c.Format, certificateRows(list))
}

// reasons are the CRLReason words of RFC 5280, Section 5.3.1, by number; 7 is
// not used and 8 is for delta CRLs.
func reasons() []string {
	return []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "", "", "privilegeWithdrawn", "aACompromise",
	}
}

func reasonName(reason int) string {
	if names := reasons(); reason >= 0 && reason < len(names) {
		return names[reason]
	}
	return "unknown reason"
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

type reportCmd struct {
	Expiring  reportExpiringCmd  `cmd:"" help:"Certificates of devices that end soon, or have ended and were not renewed."`
	NeverSeen reportNeverSeenCmd `cmd:"" help:"Devices that were expected and never came."`
	Silent    reportSilentCmd    `cmd:"" help:"Devices in service that have got nothing for long."`
	NIST      reportNISTCmd      `cmd:"" name:"nist" help:"How this deployment stands to SP 800-57, SP 800-213, IR 8259 and SP 1800-36, from its configuration and records."`
}

type reportNISTCmd struct {
	registrarData
	output
}

// Help says what the words of the report mean.
func (reportNISTCmd) Help() string {
	return "Standing: held, shown by the fact beside it; partly, the fact says what is missing; open, nothing of it is here; yours, no software can hold it for you. " +
		"The report is a map for an assessor and no assessment."
}

// Run prints the report.
func (c *reportNISTCmd) Run(ctx context.Context, s streams) error {
	facts, err := gatherFacts(ctx, c.Config, time.Now())
	if err != nil {
		return err
	}
	if err := c.operate(ctx, s, func(client *registraradmin.Client) error { return facts.ofRecords(ctx, client) }); err != nil {
		return err
	}
	var rows []nistRow
	for _, r := range nistRules() {
		standing, fact := r.judge(facts)
		rows = append(rows, nistRow{r.document, r.part, r.asks, standing, fact, r.look})
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

// nistRow is one line of the report.
type nistRow struct {
	Document string   `json:"document"`
	Part     string   `json:"part"`
	Asks     string   `json:"asks"`
	Standing standing `json:"standing"`
	Fact     string   `json:"fact"`
	Look     string   `json:"look"` // a command that shows it
}

// standing is how a deployment stands to what a document asks.
type standing string

// The standings.
const (
	held    standing = "held"
	partly  standing = "partly"
	unheld  standing = "open"
	byOwner standing = "yours"
)

// deploymentFacts are what the report is made from.
type deploymentFacts struct {
	now time.Time

	// Of the configuration.
	keysInTokens, keysInFiles int
	rootKeyHere               bool
	issuers                   []issuerFact
	lifetimes                 map[string]time.Duration // of certificates, by profile
	labels, withCodes, withID int                      // labels; those with one-time codes; those with IDevIDs
	sharedPasswords           int                      // labels that HTTP credentials suffice at
	serverKeys                []string                 // profiles by which the server makes devices' keys
	manufacturers             int
	unrevoked                 []string // manufacturers whose IDevIDs' revocation nobody asks for
	admitAll                  []string // manufacturers each of whose devices may join
	revocation                string   // where revocations are told; empty for nowhere
	watched                   bool     // listen.metrics or tracing

	// Of the records.
	devices      map[string]int // by state
	hardware     int            // with a hardware module name, secure element or TPM on record
	grouped      int
	certificates map[string]int // by status
	longest      time.Duration  // of an issued certificate
	overdue      int            // issued, ended, and of a device that is enrolled
	trail        int            // entries looked at
	waiting      int
}

// issuerFact is one CA.
type issuerFact struct {
	name, kind, signs string
	ends              time.Time
}

// total is how many there are of all kinds.
func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// ofRecords counts what is on record.
func (f *deploymentFacts) ofRecords(ctx context.Context, client *registraradmin.Client) error {
	f.devices, f.certificates = map[string]int{}, map[string]int{}
	for d, err := range client.Devices(ctx) {
		if err != nil {
			return err
		}
		f.devices[d.State]++
		if d.HardwareModule != "" || d.SecureElement != "" || d.TPM != "" {
			f.hardware++
		}
		if d.Group != "" {
			f.grouped++
		}
	}
	for c, err := range client.Certificates(ctx, registraradmin.CertificateList{}) {
		if err != nil {
			return err
		}
		f.certificates[c.Status]++
		if c.Status == "issued" {
			f.longest = max(f.longest, c.NotAfter.Sub(c.NotBefore))
			if c.NotAfter.Before(f.now) {
				f.overdue++
			}
		}
	}
	entries, err := client.Trail(ctx, "", 1, 1)
	if err != nil {
		return err
	}
	f.trail = len(entries)
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	f.waiting = status.Waiting
	return nil
}

// days writes a duration as people say it.
func days(d time.Duration) string { return fmt.Sprintf("%d days", int(d.Hours()/24)) }

package pledge

import (
	"log/slog"
	"time"
)

// StepName names a step.
type StepName string

// The steps, in the order of a first onboarding.
const (
	StepResumed      StepName = "resumed"             // an earlier run left something to go on with
	StepConnected    StepName = "connected"           // provisional TLS
	StepRequested    StepName = "voucher-requested"   // request.vcj stored, about to be sent
	StepPending      StepName = "pending"             // the registrar said "not yet"
	StepRedirected   StepName = "redirected"          // 307, which is followed
	StepVoucher      StepName = "voucher-verified"    // RFC 8995, Section 5.6.1
	StepImprinted    StepName = "imprinted"           // voucher.vcj stored; the connection is authenticated
	StepVoucherTold  StepName = "voucher-reported"    // telemetry sent
	StepCACerts      StepName = "cacerts"             // cacerts.pem stored
	StepCSRAttrs     StepName = "csrattrs"            // or none
	StepKey          StepName = "key"                 // ldevid.key stored
	StepEnrolled     StepName = "enrolled"            // ldevid.pem stored
	StepEnrolledTold StepName = "enrollment-reported" // telemetry sent with the LDevID
	StepRenewed      StepName = "renewed"             // by Renew
	// By KeepRenewed: the LDevID stays as it is, or has ended.
	StepRenewalFailed StepName = "renewal-failed"
	StepFailed        StepName = "failed" // the voucher or the enrollment was refused, and the registrar told
)

// Step is one thing done, for whoever watches.
type Step struct {
	Name   StepName
	Proven string // a sentence: what is known now that was not before
	File   string // the name under which something was stored; may be empty
	At     time.Time
}

func (r *run) step(name StepName, file, proven string) {
	r.reporting.Lock() // attempts run side by side
	defer r.reporting.Unlock()
	r.c.Report(Step{Name: name, Proven: proven, File: file, At: r.c.Now()})
	r.c.Log.Info("pledge step", slog.String("step", string(name)), slog.String("proven", proven))
}

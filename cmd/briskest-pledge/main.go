// Command briskest-pledge is the device's side of BRSKI and EST: it onboards
// with its manufacturer's certificate and renews what it was given. It is
// small: no database, no server.
package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/cmd/internal/commandline"
	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
)

func main() { commandline.Main("briskest-pledge", run) }

// commands is the whole command line.
type commands struct {
	Onboard onboardCmd `cmd:"" help:"Join the registrar's domain, or go on where an earlier run stopped."`
	Run     runCmd     `cmd:"" help:"Join if need be, for as long as it takes, and renew in time, until stopped."`
	Renew   renewCmd   `cmd:"" help:"Renew the certificate that onboarding gave."`
	Status  statusCmd  `cmd:"" help:"Show what is stored."`
}

// streams and output are shared with the other program.
type (
	streams = commandline.Streams
	output  = commandline.Output
)

func run(ctx context.Context, args []string, s streams) error {
	return commandline.Run(ctx, "briskest-pledge", "A device that joins a domain by BRSKI (RFC 8995).", &commands{}, args, s)
}

// device says who the device is and where it keeps what it learns.
type device struct {
	IDevID    string   `name:"idevid" required:"" type:"existingfile" help:"PEM file of the manufacturer's certificate and what is above it."`
	Key       string   `required:"" help:"Keystore URI of its key, such as file:idevid.key."`
	Anchor    string   `required:"" type:"existingfile" help:"PEM file of the CAs that vouchers are trusted with."`
	State     string   `required:"" help:"Directory for what the device learns."`
	Registrar []string `sep:"none" help:"A registrar or join proxy, as https://HOST:PORT; may be repeated. Where the device was onboarded is known." placeholder:"URL"`
	places
	NoClock bool          `help:"The clock is not to be relied upon: check no dates."`
	MaxWait time.Duration `help:"How long the registrar may say \"not yet\"; default 4 days, 0s to report pending at once." default:"96h"`
	voucherformat.Flag
	beliefs
	ldevidKey
}

func (d *device) pledge(ctx context.Context, report func(pledge.Step)) (*pledge.Pledge, error) {
	id, err := pemfile.Identity(ctx, d.IDevID, d.Key)
	if err != nil {
		return nil, err
	}
	anchors, err := pemfile.Pool(d.Anchor)
	if err != nil {
		return nil, err
	}
	format, err := d.Voucher.Format()
	if err != nil {
		return nil, err
	}
	c := pledge.Config{
		IDevID: *id, Registrars: d.Registrar, Anchors: anchors, State: pledge.Dir(d.State),
		Format: format, NoClock: d.NoClock, MaxWait: d.MaxWait, NoWait: d.MaxWait == 0, Report: report,
	}
	if err := d.find(&c); err != nil {
		return nil, err
	}
	if err := d.beliefs.apply(ctx, &c); err != nil {
		return nil, err
	}
	if err := d.ldevidKey.apply(ctx, &c); err != nil {
		return nil, err
	}
	return pledge.New(c)
}

// failure gives the pledge's errors their exit codes.
func failure(err error) error {
	var e *pledge.Error
	switch {
	case !errors.As(err, &e):
		return err
	case errors.Is(err, pledge.ErrPending):
		return cli.Pending(e.Message, e.RetryAfter)
	case errors.Is(err, pledge.ErrRefused):
		return cli.Refused(err)
	case e.Reason == pledge.ReasonNoRegistrar:
		return cli.Hint(err, "name one with --registrar or --cloud, or look for one with --discover")
	case e.Reason == pledge.ReasonExpired:
		return cli.Hint(err, "briskest-pledge run --rejoin begins anew then")
	case e.Reason == pledge.ReasonNotEnrolled:
		return &cli.Error{Code: cli.ExitNotFound, Err: err, Hint: "briskest-pledge onboard gets the first certificate"}
	default:
		return err
	}
}

// result is what a command prints about the device's certificate.
type result struct {
	Serial   string    `json:"serial"`
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

func resultOf(cert *x509.Certificate) result {
	return result{hex.EncodeToString(cert.SerialNumber.Bytes()), cert.Subject.String(), cert.Issuer.String(), cert.NotAfter}
}

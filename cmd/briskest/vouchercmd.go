package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/internal/pemfile"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

type voucherCmd struct {
	Request voucherRequestCmd `cmd:"" help:"Sign requests for vouchers without a nonce, to be carried to the manufacturer."`
	Issue   voucherIssueCmd   `cmd:"" help:"At the manufacturer: answer requests that were carried there."`
	Import  voucherImportCmd  `cmd:"" help:"Check vouchers that were carried here, and keep them for their devices."`
	Fetch   voucherFetchCmd   `cmd:"" help:"Ask the MASA now for vouchers without a nonce, ahead of their devices."`
	List    voucherListCmd    `cmd:"" help:"List the vouchers that were asked for ahead of their devices."`
	Inspect voucherInspectCmd `cmd:"" help:"Print what a voucher or voucher-request says and who signed it. Decides nothing about trust."`
	Verify  voucherVerifyCmd  `cmd:"" help:"Check a voucher or voucher-request against trust anchors."`
}

// maxArtifact bounds a file that is looked into, in bytes.
const maxArtifact = 1 << 20

type voucherInspectCmd struct {
	File string `arg:"" help:"The artifact (.vcj, .vjj or .vch), or - for standard input."`
	output
}

// artifactRow is what the command prints about an artifact.
type artifactRow struct {
	Kind     string          `json:"kind"`
	Type     string          `json:"media_type"`
	Signer   string          `json:"signer"`
	Issuer   string          `json:"signer_issuer"`
	Serial   string          `json:"signer_serial"`
	Inside   int             `json:"certificates_inside"`
	Content  json.RawMessage `json:"content"`
	Counter  []string        `json:"countersigners,omitempty"`
	Findings []string        `json:"findings,omitempty"`
	Trusted  string          `json:"trusted,omitempty"`
}

// Run opens the artifact and prints it.
func (c *voucherInspectCmd) Run(s streams) error {
	_, row, err := openArtifact(s, c.File)
	if err != nil {
		return err
	}
	return cli.PrintOne(s.Out, c.Format, row)
}

type voucherVerifyCmd struct {
	File   string    `arg:"" help:"The artifact (.vcj, .vjj or .vch), or - for standard input."`
	Anchor string    `required:"" type:"existingfile" help:"PEM file of the certificates to trust its signer with."`
	At     time.Time `help:"The time to check validity at, as RFC 3339; default now."`
	output
}

// Run opens the artifact, verifies its signer against the anchors, and prints it.
func (c *voucherVerifyCmd) Run(s streams) error {
	roots, err := pemfile.Pool(c.Anchor)
	if err != nil {
		return err
	}
	artifact, row, err := openArtifact(s, c.File)
	if err != nil {
		return err
	}
	at := c.At
	if at.IsZero() {
		at = time.Now()
	}
	chain, err := artifact.VerifySigner(roots, at)
	if err != nil {
		return fmt.Errorf("the signature holds, but its signer %q is not trusted: %w", row.Signer, err)
	}
	row.Trusted = chain[len(chain)-1].Subject.String()
	return cli.PrintOne(s.Out, c.Format, row)
}

// openArtifact reads the file and opens it as a voucher, or else as a request.
func openArtifact(s streams, file string) (*voucher.Artifact, *artifactRow, error) {
	data, err := readBounded(s.In, file, maxArtifact)
	if err != nil {
		return nil, nil, err
	}
	kind := "voucher"
	format, err := voucherformat.Of(data).Format()
	if err != nil {
		return nil, nil, err
	}
	if _, ok := format.(vouchercms.Format); ok {
		format = vouchercms.Format{Secp256k1: true}
	}
	_, artifact, err := format.OpenVoucher(data)
	if err != nil {
		_, request, requestErr := format.OpenRequest(data)
		if requestErr != nil {
			return nil, nil, fmt.Errorf("%s: as a voucher: %w; as a voucher-request: %w", file, err, requestErr)
		}
		kind, artifact = "voucher-request", request
	}
	content, err := voucherformat.JSON(artifact)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	row := &artifactRow{
		Kind: kind, Type: artifact.MediaType, Signer: artifact.Signer.Subject.String(), Issuer: artifact.Signer.Issuer.String(),
		Serial: hex.EncodeToString(artifact.Signer.SerialNumber.Bytes()),
		Inside: len(artifact.Certificates), Content: content,
	}
	for _, c := range artifact.Countersigners {
		row.Counter = append(row.Counter, c.Subject.String())
	}
	for _, f := range artifact.Findings {
		row.Findings = append(row.Findings, f.ID+": "+f.Text)
	}
	return artifact, row, nil
}

// readBounded reads a file, or standard input for "-", of at most limit bytes.
func readBounded(in io.Reader, file string, limit int64) ([]byte, error) {
	in, done, err := open(in, file)
	if err != nil {
		return nil, err
	}
	defer done()
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", file, limit)
	}
	return data, nil
}

// open opens a file, or takes standard input for "-". Call done when it is read.
func open(in io.Reader, file string) (r io.Reader, done func(), err error) {
	if file == "-" {
		return in, func() {}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, cli.Usage("%w", err)
	}
	return f, func() { discard(f.Close) }, nil
}

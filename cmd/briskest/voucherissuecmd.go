package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/est"
	"github.com/briskest/briskest/internal/cli"
	"github.com/briskest/briskest/masa"
	masaadmin "github.com/briskest/briskest/masa/admin"
)

type voucherIssueCmd struct {
	masaData
	File []string `arg:"" type:"existingfile" help:"Registrars' voucher-requests that were carried here."`
	Out  string   `required:"" help:"Folder for the vouchers and audit-logs; made when it is not there." placeholder:"DIR"`
	output
}

// issuedRow is what is printed about a voucher that was issued.
type issuedRow struct {
	SerialNumber string `json:"serial_number"`
	Request      string `json:"request"`
	Voucher      string `json:"voucher"`
	AuditLog     string `json:"audit_log"`
}

// Run decides about each request as if it had come over the wire, and writes
// the vouchers and audit-logs to be carried back.
func (c *voucherIssueCmd) Run(ctx context.Context, s streams) error {
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return err
	}
	var rows []issuedRow
	err := c.operate(ctx, s, func(op masaadmin.Operator) error {
		for _, file := range c.File {
			row, err := c.issue(ctx, s, op, file)
			if err != nil {
				return cli.Hint(err, "%s was not answered; what came before it was", file)
			}
			rows = append(rows, *row)
		}
		return nil
	})
	return printDone(s, c.Format, rows, err)
}

func (c *voucherIssueCmd) issue(ctx context.Context, s streams, op masaadmin.Operator, file string) (*issuedRow, error) {
	raw, err := readBounded(s.In, file, masa.MaxRequest)
	if err != nil {
		return nil, err
	}
	name := voucherformat.Of(raw)
	format, err := name.Format()
	if err != nil {
		return nil, err
	}
	request, _, err := format.OpenRequest(raw)
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	answer, err := op.AnswerCarried(ctx, &masa.CarriedRequest{MediaType: format.MediaType(), Raw: raw, By: actor()})
	var refusal *est.Error
	if errors.As(err, &refusal) {
		return nil, &cli.Error{Code: cli.ExitRefused, Err: err}
	}
	if err != nil {
		return nil, err
	}
	base := filepath.Join(c.Out, carriedName(request.SerialNumber))
	row := &issuedRow{request.SerialNumber, file, base + voucherSuffix + name.Extension(), base + auditLogSuffix}
	return row, errors.Join(os.WriteFile(row.Voucher, answer.Voucher, 0o600), os.WriteFile(row.AuditLog, answer.AuditLog, 0o600))
}

package cli_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/cli"
)

type row struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`
	Count  int       `json:"count"`
	hidden int
}

func TestListsPrintAsTableJSONLinesAndCSV(t *testing.T) {
	rows := []row{{Serial: "01ab", Count: 2, hidden: 1}, {Serial: "02\x1b[2J"}}
	for format, want := range map[string]string{
		cli.Table: "SERIAL  AT  COUNT\n01ab        2\n02?[2J      0\n",
		cli.JSON:  "{\"serial\":\"01ab\",\"at\":\"0001-01-01T00:00:00Z\",\"count\":2}\n{\"serial\":\"02\\u001b[2J\",\"at\":\"0001-01-01T00:00:00Z\",\"count\":0}\n",
		cli.CSV:   "serial,at,count\n01ab,,2\n02?[2J,,0\n",
	} {
		var out strings.Builder
		if err := cli.PrintList(&out, format, rows); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("PrintList(%s) = %q, want %q", format, out.String(), want)
		}
	}
}

func TestAHintKeepsTheExitCodeAndIsPrinted(t *testing.T) {
	err := fmt.Errorf("enroll: %w", cli.Hint(cli.Refused(errors.New("403 unknown device")), "run %s", "device import"))
	var out strings.Builder
	if code := cli.Report(&out, "briskest", err); code != cli.ExitRefused {
		t.Errorf("Report code = %d, want %d", code, cli.ExitRefused)
	}
	if want := "briskest: enroll: 403 unknown device\nhint: run device import\n"; out.String() != want {
		t.Errorf("Report printed %q, want %q", out.String(), want)
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		cli.ExitDone:     nil,
		cli.ExitFailed:   errors.New("x"),
		cli.ExitUsage:    cli.Usage("x"),
		cli.ExitNotFound: cli.NotFound("x"),
		cli.ExitPending:  fmt.Errorf("y: %w", cli.Pending("x", time.Minute)),
	} {
		if got := cli.Code(err); got != want {
			t.Errorf("Code(%v) = %d, want %d", err, got, want)
		}
		if got := cli.Report(io.Discard, "briskest", err); got != want {
			t.Errorf("Report(%v) = %d, want %d", err, got, want)
		}
		if got := cli.Code(errors.Join(err, nil)); got != want {
			t.Errorf("Code(errors.Join(%v, nil)) = %d, want %d", err, got, want)
		}
	}
}

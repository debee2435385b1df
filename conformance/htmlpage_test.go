package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/catalogue"
	"github.com/briskest/briskest/internal/testbed"
)

// The page, with all checks there are, every third of which failed with a long
// word, every third skipped.
func TestThePageIsReadableOnAPhoneAndInPrint(t *testing.T) {
	program := testbed.Require(t, "chromium")
	metas := catalogue.All()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, pageOf(t, metas), 0o600); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate((&url.URL{Scheme: "file", Path: file}).String())); err != nil {
		t.Fatal(err)
	}
	width := evaluate[int](ctx, t, `Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)`)
	phone := evaluate[string](ctx, t, `document.body.innerText`)
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	print := evaluate[string](ctx, t, `document.body.innerText`)
	pdf, err := chromedp.Call(ctx, page.PrintToPDF, page.PrintToPDFParams{})
	if err != nil {
		t.Fatal(err)
	}
	if width > 390 {
		t.Errorf("on a phone of 390 pixels the page is %d wide", width)
	}
	for _, m := range metas {
		if !strings.Contains(phone, m.ID) || !strings.Contains(print, m.ID) || !strings.Contains(print, m.Text) {
			t.Errorf("%s is on the phone: %v, in print: %v", m.ID, strings.Contains(phone, m.ID), strings.Contains(print, m.ID))
		}
	}
	if !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) {
		t.Errorf("printing gave %.10q", pdf.Data)
	}
}

// evaluate runs an expression in the page.
func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// pageOf is a report of those checks.
func pageOf(t *testing.T, metas []conformance.Meta) []byte {
	t.Helper()
	checks := make([]conformance.Check[nothing], len(metas))
	for i, m := range metas {
		outcome := []error{nil, errors.New("answered " + strings.Repeat("x", 300)), conformance.Skip("not offered")}[i%3]
		checks[i] = conformance.Check[nothing]{
			ID: m.ID, Citation: m.Citation, Text: m.Text, Role: m.Role, Level: m.Level, Requirements: m.Requirements,
			Run: func(ctx context.Context, _ nothing) error {
				conformance.Record(ctx, conformance.Exchange{Sent: "POST /" + strings.Repeat("path", 60), Came: "400", RawSent: bytes.Repeat([]byte("QUJD"), 500)})
				return outcome
			},
		}
	}
	report := run(t, conformance.Options{Raw: true}, checks...)
	var b bytes.Buffer
	if err := report.Write(&b, "html"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package brskipledge

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

// telemetry: what a pledge says of the voucher.
func telemetry() []check {
	return in("RFC 8995, Section 5.7",
		scene("RFC8995-5.7-P-1", must, "The verdict on a good voucher is posted to /.well-known/brski/voucher_status as application/json",
			rows("BRSKI-8995-5.7-01"), script{}, postsVerdict),
		scene("RFC8995-5.7-P-2", must, "The verdict is an object with a version, which is 1, and a status, which is true; the names are in lower case",
			rows("BRSKI-8995-5.7-01"), script{}, readable(brski.OpVoucherStatus, true)),
		refusal("RFC8995-5.7-P-3", must, "The verdict on a bad voucher says false, and gives a reason",
			rows("BRSKI-8995-5.7-01", "BRSKI-8995-5.6.1-02"), wrong(func(d *draft) { d.leaves["nonce"] = "dW5raW5kdW5raW5k" }), readable(brski.OpVoucherStatus, false)),
		refusal("RFC8995-5.7-P-4", should, "The reason tells an attacker nothing that he does not know: neither the serial number, nor the nonce, nor the anchor",
			rows("BRSKI-8995-5.7-06"), wrong(func(d *draft) { d.leaves["serial-number"], d.leaves["nonce"] = "CONFORM-9999", "dW5raW5kdW5raW5k" }), tellsNothing),
		scene("RFC8995-5.7-P-5", must, "A registrar that knows no telemetry, and answers 404, is enrolled with all the same",
			rows("BRSKI-8995-5.7-01"), script{answer: on(brski.OpVoucherStatus, func(*asked) *unkind.Answer { return unkind.Text(http.StatusNotFound, "Not here.") })}, joins),
		scene("RFC8995-5.7-P-6", must, "The verdict is posted before a certificate is asked for",
			rows("BRSKI-8995-5.7-01"), script{}, verdictFirst),
	)
}

func postsVerdict(r *run) error {
	found, err := r.verdicts()
	if err != nil {
		return err
	}
	return posted(found[0])
}

func posted(q *unkind.Request) error {
	if q.Method != http.MethodPost {
		return fmt.Errorf("%s came by %s", q.Path, q.Method)
	}
	if t, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return fmt.Errorf("Content-Type of %s is %q, want application/json", q.Path, q.Header.Get("Content-Type"))
	}
	return nil
}

// readable wants telemetry of an operation to read, and to have that status.
func readable(op brski.Operation, status bool) func(*run) error {
	return func(r *run) error {
		found := r.asked(op)
		if len(found) == 0 {
			return conformance.Skip("no %s came (see RFC8995-5.7-P-1, RFC8995-5.9.4-P-1)%s", op, r.said())
		}
		s, err := brski.ParseStatus(found[0].Body)
		switch {
		case err != nil:
			return fmt.Errorf("%s does not read: %w: %.200q", op, err, found[0].Body)
		case s.Version != brski.StatusVersion:
			return fmt.Errorf("%s has version %d, want %d", op, s.Version, brski.StatusVersion)
		case s.Status != status:
			return fmt.Errorf("%s has status %t, want %t", op, s.Status, status)
		case !status && strings.TrimSpace(s.Reason) == "":
			return fmt.Errorf("%s gives no reason: %.200q", op, found[0].Body)
		}
		return noMore(op, found[0].Body)
	}
}

// noMore wants no members but those that are registered (RFC 8995, Section 8.5).
func noMore(op brski.Operation, body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return err
	}
	for name := range members {
		if !slices.Contains([]string{"version", "status", "reason", "reason-context"}, name) {
			return fmt.Errorf("%s has a member %.50q, which is not registered", op, name)
		}
	}
	return nil
}

func tellsNothing(r *run) error {
	found, err := r.verdicts()
	if err != nil {
		return conformance.Skip("%v (see RFC8995-5.7-P-1)", err)
	}
	q, err := r.opened()
	if err != nil {
		return err
	}
	secrets := []string{r.world.serial, q.Nonce, signerOf(r.world.masa).Certificate.Issuer.String()}
	for _, told := range found {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(string(told.Body), secret) {
				return fmt.Errorf("voucher_status has %q in it", secret)
			}
		}
	}
	return nil
}

func verdictFirst(r *run) error {
	found, err := r.verdicts()
	if err != nil {
		return conformance.Skip("%v (see RFC8995-5.7-P-1)", err)
	}
	enrolled := r.enrolled(est.OpSimpleEnroll)
	if len(enrolled) == 0 {
		return conformance.Skip("no certificate was asked for (see RFC8995-5-P-1)")
	}
	if found[0].At.After(enrolled[0].At) {
		return errors.New("the certificate was asked for before voucher_status was posted")
	}
	return nil
}

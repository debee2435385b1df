package estserver

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"

	"github.com/briskest/briskest/est"
)

// hostileBodies: what nobody sends by mistake.
func hostileBodies() []check {
	return []check{
		{
			ID: "RFC7030-6-1", Level: must, Text: "ASN.1 that is nested ten thousand deep is refused",
			Requirements: rows("EST-7030-6-09"), Run: refuses("deeply nested ASN.1", body(func([]byte) []byte { return encode(nested(10000)) })),
		},
		{
			ID: "RFC7030-6-2", Level: must, Text: "ASN.1 that announces more than came is refused",
			Requirements: rows("EST-7030-6-09"), Run: refuses("a SEQUENCE that says it is 2 GB", body(func(csr []byte) []byte {
				return encode(append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, csr...))
			})),
		},
		{
			ID: "RFC7030-6-3", Level: must, Text: "ASN.1 without a definite length is refused",
			Requirements: rows("EST-7030-6-09"), Run: refuses("a CSR of indefinite length", body(func(csr []byte) []byte {
				return encode(append(append([]byte{0x30, 0x80}, csr[4:]...), 0, 0))
			})),
		},
		{
			ID: "RFC7030-6-4", Level: must, Text: "a body of 1 MiB is refused, and soon",
			Requirements: rows("EST-7030-6-09"), Run: runHugeBody,
		},
		{
			ID: "RFC7030-6-5", Level: must, Text: "the server answers as before after it was sent what is hostile",
			Requirements: rows("EST-7030-6-09"), Run: runStillThere,
		},
	}
}

// A server may hang up on what is too long, before it was sent all of it.
func runHugeBody(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	a, err := t.post(ctx, est.OpSimpleEnroll, t.self(), bytes.Repeat([]byte("QUFB"), 1<<18))
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil
	}
	return refused(ctx, a, "a body of 1 MiB")
}

func runStillThere(ctx context.Context, t *Target) error {
	if _, err := t.enrolled(ctx); err != nil {
		return err
	}
	before, err := t.get(ctx, est.OpCACerts, nobody())
	if err != nil {
		return err
	}
	garbage := pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: nestedSets(200)})
	for range 5 {
		if _, err := t.post(ctx, est.OpSimpleEnroll, t.self(), garbage); err != nil {
			return fmt.Errorf("hostile body: %w", err)
		}
	}
	a, err := t.get(ctx, est.OpCACerts, nobody())
	if err != nil {
		return err
	}
	if a.Status != before.Status {
		return fmt.Errorf("%v after five bodies that are no CSR, and %d before", a, before.Status)
	}
	return nil
}

// nested is a NULL in that many SEQUENCEs, built from the inside out.
func nested(depth int) []byte {
	buffer := make([]byte, 5*depth+2)
	at := len(buffer) - 2
	buffer[at] = 5
	for range depth {
		head := heading(tagSequence, len(buffer)-at)
		at -= copy(buffer[at-len(head):], head)
	}
	return buffer[at:]
}

func nestedSets(depth int) []byte {
	b := []byte{5, 0}
	for range depth {
		b = tlv(tagSet, b)
	}
	return b
}

package estserver

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// csrs: CSRs that are wrong, or merely unusual.
func csrs() []check {
	return slices.Concat(
		in("RFC 2986, Section 4.1", csrShapes()...),
		in("RFC 2986, Section 4.2", csrSignatures()...),
		in("RFC 2985, Section 5.4", csrAttributeCounts()...),
		in("RFC 5967, Section 2", check{
			ID: "RFC5967-2-1", Level: must, Text: "a body with two CSRs is refused",
			Requirements: rows("EST-5967-2-01"), Run: refuses("two CSRs one after the other", body(func(csr []byte) []byte { return encode(append(csr, csr...)) })),
		}),
		in("RFC 7030, Section 3.4", proofsOfPossession()...),
		in("RFC 5272, Section 3.1", requestedExtensions()...),
		in("RFC 7030, Section 6", hostileBodies()...),
	)
}

func csrShapes() []check {
	return []check{
		{
			ID: "RFC2986-4.1-1", Level: must, Text: "a CSR of another version than 0 is refused",
			Requirements: rows("EST-2986-4.1-01"), Run: refuses("a CSR of version 1", forged(func(f *forgedCSR) { f.version = 1 })),
		},
		{
			ID: "RFC2986-4.1-2", Level: must, Text: "a CSR without the attributes field is taken or refused, and is no fault of the server's",
			Requirements: rows("EST-2986-4.1-02"), Run: runNoAttributes,
		},
		{
			ID: "RFC2986-4.1-3", Level: must, Text: "something that follows the CSR in its DER is refused",
			Requirements: rows("EST-2986-4.2-02"), Run: refuses("a CSR with a byte after it", forged(func(f *forgedCSR) { f.after = []byte{0} })),
		},
		{
			ID: "RFC2986-4.1-4", Level: must, Text: "a CSR without a public key is refused",
			Requirements: rows("EST-2986-4.2-02", "EST-7030-4.2.3-05"), Run: refuses("a CSR with an empty SubjectPublicKeyInfo", forged(func(f *forgedCSR) { f.spki = tlv(tagSequence) })),
		},
	}
}

func csrSignatures() []check {
	return []check{
		{
			ID: "RFC2986-4.2-1", Level: must, Text: "the signature is verified over the bytes that came, also when the attributes are not sorted as DER asks",
			Requirements: rows("EST-2986-4.2-01"), Run: acceptsOrSays(unsorted),
		},
		{
			ID: "RFC2986-4.2-2", Level: must, Text: "a CSR that was changed after it was signed is refused",
			Requirements: rows("EST-2986-4.2-01", "EST-7030-3.4-01"), Run: refuses("a CSR whose subject was changed after signing", changedSubject),
		},
	}
}

func csrAttributeCounts() []check {
	password := func(text string) []byte { return attribute(oidChallengePassword, tlv(tagPrintable, []byte(text))) }
	return []check{
		{
			ID: "RFC2985-5.4-1", Level: must, Text: "a CSR with two challengePassword attributes is refused",
			Requirements: rows("EST-2985-5.4.1-01"), Run: refuses("a CSR with two challengePasswords",
				forged(func(f *forgedCSR) { f.attributes = [][]byte{password("QUJD"), password("REVG")} })),
		},
		{
			ID: "RFC2985-5.4-2", Level: must, Text: "a CSR whose challengePassword has two values is refused",
			Requirements: rows("EST-2985-5.4.1-01"), Run: refuses("a CSR whose challengePassword has two values", forged(func(f *forgedCSR) {
				f.attributes = [][]byte{attribute(oidChallengePassword, tlv(tagPrintable, []byte("QUJD")), tlv(tagPrintable, []byte("REVG")))}
			})),
		},
		{
			ID: "RFC2985-5.4-3", Level: must, Text: "a CSR with two extensionRequest attributes is refused",
			Requirements: rows("EST-2985-5.4.2-01"), Run: refuses("a CSR with two extensionRequests", forged(func(f *forgedCSR) {
				usage := extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80})
				f.attributes = [][]byte{extensionRequest(usage), extensionRequest(extension(oidExtendedKeyUsage, false, clientAuth()))}
			})),
		},
		{
			ID: "RFC2985-5.4-4", Level: must, Text: "a CSR that asks for one extension twice is refused",
			Requirements: rows("EST-5280-4.2-01"), Run: refuses("a CSR that asks for keyUsage twice", forged(func(f *forgedCSR) {
				f.attributes = [][]byte{extensionRequest(extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80}), extension(oidKeyUsage, true, []byte{3, 2, 6, 0xc0}))}
			})),
		},
	}
}

func proofsOfPossession() []check {
	return []check{
		{
			ID: "RFC7030-3.4-1", Level: must, Text: "a CSR whose signature is wrong is refused",
			Requirements: rows("EST-7030-3.4-01", "EST-5274-9-01"), Run: refuses("a CSR with a wrong signature", forged(func(f *forgedCSR) { f.badSignature = true })),
		},
		{
			ID: "RFC7030-3.4-2", Level: must, Text: "a CSR that another key than its own signed is refused",
			Requirements: rows("EST-7030-3.4-01", "EST-5274-9-01"), Run: refuses("a CSR signed by another key", signedByAnother),
		},
	}
}

func signedByAnother(t *Target, key crypto.Signer) (wire.Request, error) {
	other, err := newKey()
	if err != nil {
		return wire.Request{}, err
	}
	return forged(func(f *forgedCSR) { f.signer = other })(t, key)
}

// changedSubject replaces a byte of the subject's text after signing.
func changedSubject(t *Target, key crypto.Signer) (wire.Request, error) {
	f, err := t.forge(key)
	if err != nil {
		return wire.Request{}, err
	}
	der, err := f.der(key)
	if err != nil {
		return wire.Request{}, err
	}
	at := bytes.Index(der, f.subject) + len(f.subject) - 1
	der[at] ^= 1
	return t.request(est.OpSimpleEnroll, encode(der)), nil
}

// unsorted has two attributes in descending order of their DER.
func unsorted(f *forgedCSR) {
	f.attributes = [][]byte{extensionRequest(extension(oidKeyUsage, true, []byte{3, 2, 7, 0x80})), attribute(oidUnstructuredName, tlv(tagUTF8, []byte("a device of some name")))}
	slices.SortFunc(f.attributes, func(a, b []byte) int { return bytes.Compare(b, a) })
}

// acceptsOrSays is a check that the CSR is taken, or refused with a text that
// does not blame its signature.
func acceptsOrSays(change func(*forgedCSR)) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		if _, err := t.enrolled(ctx); err != nil {
			return err
		}
		key, err := t.key()
		if err != nil {
			return err
		}
		r, err := forged(change)(t, key)
		if err != nil {
			return err
		}
		a, err := t.do(ctx, t.self(), r)
		if err != nil {
			return err
		}
		if err := undecided(a); err != nil {
			return err
		}
		if _, err := issued(ctx, a, key); err == nil {
			return nil
		}
		if !a.Refused() || strings.Contains(strings.ToLower(string(a.Body)), "signature") {
			return fmt.Errorf("%v: the signature is right over the bytes that were sent", a)
		}
		return nil
	}
}

func runNoAttributes(ctx context.Context, t *Target) error {
	err := accepts(forged(func(f *forgedCSR) { f.noAttributes = true }))(ctx, t)
	if err == nil {
		return nil
	}
	return refuses("a CSR without attributes", forged(func(f *forgedCSR) { f.noAttributes = true }))(ctx, t)
}

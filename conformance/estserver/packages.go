package estserver

import (
	"context"
	"encoding/asn1"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
	"github.com/briskest/briskest/conformance/wire"
	"github.com/briskest/briskest/est"
)

// packages: what RFC 8295 adds. All of it is optional: what is not offered is
// skipped.
func packages() []check {
	return slices.Concat(
		in("RFC 8295, Section 2", palChecks()...),
		in("RFC 8295, Section 3", check{
			ID: "RFC8295-3-1", Level: must, Text: "eecerts are answered as cacerts are: 200 with a certs-only message in base64",
			Requirements: rows("EST-8295-3-02", "EST-8295-3-01"), Run: runEECerts,
		}),
		in("RFC 8295, Section 4", check{
			ID: "RFC8295-4-1", Level: must, Text: "crls are answered 200 with a message that has revocation lists and nothing else",
			Requirements: rows("EST-8295-4-01"), Run: runCRLs,
		}),
	)
}

func palChecks() []check {
	judge := func(f func([]pkg) error) func(context.Context, *Target) error {
		return func(ctx context.Context, t *Target) error {
			list, err := t.packageList(ctx, "application/json")
			if err != nil {
				return err
			}
			return f(list)
		}
	}
	return []check{
		{
			ID: "RFC8295-2-1", Level: must, Text: "the list of packages is for clients with a certificate",
			Requirements: rows("EST-8295-2-01"), Run: runPALForNobody,
		},
		{
			ID: "RFC8295-2-2", Level: must, Text: "the list of packages comes in XML or in JSON, as Accept asks",
			Requirements: rows("EST-8295-2-02"), Run: runPALFormats,
		},
		{
			ID: "RFC8295-2-3", Level: must, Text: "each package has its type of four digits, its size and what it is",
			Requirements: rows("EST-8295-2-03"), Run: judge(func(list []pkg) error {
				for _, p := range list {
					if !fourDigits.MatchString(p.kind) || p.size == "" || p.infos == 0 {
						return fmt.Errorf("the package of type %q has the size %q and %d infos", p.kind, p.size, p.infos)
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8295-2-4", Level: must, Text: "what a package is, is said in one way: a name, a key identifier, an issuer with a serial number, or a URI",
			Requirements: rows("EST-8295-2-04"), Run: judge(func(list []pkg) error {
				for _, p := range list {
					if p.infos > 1 {
						return fmt.Errorf("the package of type %q is described in %d ways", p.kind, p.infos)
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8295-2-5", Level: must, Text: "a date is in UTC, to the second",
			Requirements: rows("EST-8295-2-05"), Run: judge(func(list []pkg) error {
				for _, p := range list {
					if p.date != "" && !utcDate.MatchString(p.date) {
						return fmt.Errorf("the package of type %q has the date %q", p.kind, p.date)
					}
				}
				return nil
			}),
		},
		{
			ID: "RFC8295-2-6", Level: must, Text: "a pointer to a further list is the last entry, and not the only one",
			Requirements: rows("EST-8295-2-06"), Run: judge(func(list []pkg) error {
				i := slices.IndexFunc(list, func(p pkg) bool { return p.kind == "0001" })
				if i >= 0 && (i != len(list)-1 || i == 0) {
					return fmt.Errorf("the pointer to a further list is entry %d of %d", i+1, len(list))
				}
				return nil
			}),
		},
		{
			ID: "RFC8295-2-7", Level: should, Text: "CA certificates and revocation lists come before the CSR attributes, and these before enrollments",
			Requirements: rows("EST-8295-2-07"), Run: judge(func(list []pkg) error {
				last := 0
				for _, p := range list {
					rank := slices.IndexFunc([]string{"/cacerts", "/crls", "/csrattrs", "enroll"}, func(s string) bool { return strings.Contains(p.uri, s) })
					if rank < 0 {
						continue
					}
					if rank = min(max(rank, 1), 3); rank < last {
						return fmt.Errorf("%s comes after what it is needed for", p.uri)
					}
					last = rank
				}
				return nil
			}),
		},
	}
}

var (
	fourDigits = regexp.MustCompile(`^[0-9]{4}$`)
	utcDate    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\dZ$`)
)

// pkg is an entry of the list.
type pkg struct {
	kind, size, date, uri string
	infos                 int
}

// pal asks for the list; skips where there is none.
func (t *Target) pal(ctx context.Context, who as, accept string) (*wire.Answer, error) {
	a, err := t.do(ctx, who, wire.Request{Method: http.MethodGet, Path: t.path(est.OpPAL), Header: [][2]string{{"Accept", accept}}})
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented {
		return nil, conformance.Skip("%v: lists of packages are not offered, which a server may choose", a)
	}
	return a, nil
}

func (t *Target) packageList(ctx context.Context, accept string) ([]pkg, error) {
	id, err := t.enrolled(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.pal(ctx, with(id), accept)
	if err != nil {
		return nil, err
	}
	if !a.OK() {
		return nil, conformance.Skip("%v: no list to judge (see RFC8295-2-2)", a)
	}
	list, err := parsePAL(a.Body)
	if err != nil {
		return nil, conformance.Skip("%v, and its body: %v (see RFC8295-2-2)", a, err)
	}
	return list, nil
}

// parsePAL reads the list in JSON loosely: by the names of its members.
func parsePAL(body []byte) ([]pkg, error) {
	var entries []map[string]any
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, err
	}
	list := make([]pkg, 0, len(entries))
	for _, e := range entries {
		list = append(list, readPackage(e))
	}
	return list, nil
}

func readPackage(e map[string]any) pkg {
	p := pkg{kind: text(e["type"]), size: text(e["size"]), date: text(e["date"])}
	switch info := e["info"].(type) {
	case map[string]any:
		p.infos = len(info)
		p.uri = text(info["uri"])
	case string:
		p.infos, p.uri = 1, info
	}
	return p
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func runPALForNobody(ctx context.Context, t *Target) error {
	a, err := t.pal(ctx, nobody(), "application/json")
	if err != nil {
		return err
	}
	if !a.Refused() {
		return fmt.Errorf("%v to a client without a certificate, want 401 or 403", a)
	}
	return nil
}

func runPALFormats(ctx context.Context, t *Target) error {
	id, err := t.enrolled(ctx)
	if err != nil {
		return err
	}
	for _, accept := range []string{"application/json", "application/xml"} {
		a, err := t.pal(ctx, with(id), accept)
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK || a.MediaType() != accept {
			return fmt.Errorf("%v with Content-Type %q, want 200 with %s", a, a.Header.Get("Content-Type"), accept)
		}
		if accept == "application/json" {
			_, err = parsePAL(a.Body)
		} else {
			err = xml.Unmarshal(a.Body, new(struct{ XMLName xml.Name }))
		}
		if err != nil {
			return fmt.Errorf("%v, and its body is no %s: %w", a, accept, err)
		}
	}
	return nil
}

// fetch asks for an optional operation of RFC 8295.
func (t *Target) fetch(ctx context.Context, op est.Operation) (*wire.Answer, error) {
	id, err := t.enrolled(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.get(ctx, op, with(id))
	if err != nil {
		return nil, err
	}
	switch a.Status {
	case http.StatusNotFound, http.StatusNotImplemented, http.StatusNoContent:
		return nil, conformance.Skip("%v: not offered, which a server may choose", a)
	default:
		return a, nil
	}
}

func runEECerts(ctx context.Context, t *Target) error {
	a, err := t.fetch(ctx, est.OpEECerts)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK || a.MediaType() != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want 200 with %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	if _, err := decodeCertsOnly(a.Body); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

func runCRLs(ctx context.Context, t *Target) error {
	a, err := t.fetch(ctx, est.OpCRLs)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK || a.MediaType() != typePKCS7 {
		return fmt.Errorf("%v with Content-Type %q, want 200 with %s", a, a.Header.Get("Content-Type"), typePKCS7)
	}
	der, err := decode(a.Body)
	if err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	if err := crlsOnly(der); err != nil {
		return fmt.Errorf("%v, and its body: %w", a, err)
	}
	return nil
}

// crlsOnly wants SignedData with CRLs, and neither certificates nor signers.
func crlsOnly(der []byte) error {
	var ci contentInfo
	var sd signedData
	if err := unmarshal(der, &ci); err != nil {
		return err
	}
	if err := unmarshal(ci.Content.Bytes, &sd); err != nil {
		return err
	}
	lists := elements(sd.CRLs.Bytes)
	if len(lists) == 0 || lists[0].Tag != asn1.TagSequence || len(sd.Certificates.Bytes) > 0 || len(sd.SignerInfos.Bytes) > 0 {
		return fmt.Errorf("it has %d revocation lists, %d bytes of certificates, %d of signers", len(lists), len(sd.Certificates.Bytes), len(sd.SignerInfos.Bytes))
	}
	return nil
}

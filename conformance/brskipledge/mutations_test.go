package brskipledge_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/conformance/brskipledge"
	"github.com/briskest/briskest/conformance/conformancetest"
	"github.com/briskest/briskest/conformance/unkind"
	"github.com/briskest/briskest/est"
)

type mutation = conformancetest.Mutation[*brskipledge.Target]

// breaks makes a mutation of a fault. The checks in also are of other sections
// and see it too.
func breaks(check, what string, f fault, also ...string) mutation {
	return mutation{Check: check, Breaks: what, Also: also, Start: func(t testing.TB) *brskipledge.Target { return small(t, f) }}
}

// without makes a mutation that leaves a check out.
func without(check, name string, also ...string) mutation {
	return breaks(check, "does not check: "+name, func(a *actor) { a.leavesOut = name }, also...)
}

// refusing makes a mutation that refuses what is right.
func refusing(check, name string, also ...string) mutation {
	return breaks(check, "refuses: "+name, func(a *actor) { a.refuses = name }, also...)
}

// doing makes a mutation that does what it should not.
func doing(check, what string, also ...string) mutation {
	return breaks(check, what, func(a *actor) { a.does = what }, also...)
}

func TestEveryCheckPassesAgainstASmallPledgeWithoutFaults(t *testing.T) {
	t.Parallel()
	conformancetest.Passes(t, small(t), brskipledge.Checks())
}

func TestEveryCheckHasBeenSeenToFail(t *testing.T) {
	conformancetest.Mutations(t, brskipledge.Checks(), slices.Concat(
		onboardingMutations(), requestMutations(), answerMutations(), voucherMutations(), imprintMutations(), telemetryMutations(), enrollmentMutations(),
	))
}

// everything is the IDs of all checks: who never joins fails all that want it.
func everything() []string {
	var ids []string
	for _, c := range brskipledge.Checks() {
		ids = append(ids, c.ID)
	}
	return ids
}

func onboardingMutations() []mutation {
	return []mutation{
		doing("RFC8995-5-P-1", "nothing", everything()...),
		breaks("RFC8995-5-P-2", "shows no certificate later", func(a *actor) {
			a.connects = func(conn int, config *tls.Config) {
				if conn > 1 {
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
				}
			}
		}, "RFC8995-5.9.4-P-3"),
		doing("RFC8995-1.5-P-1", "ends quietly", "RFC8995-5.9.4-P-1"),
		breaks("RFC8995-5.1-P-1", "any TLS will do", func(a *actor) {
			a.connects = func(_ int, config *tls.Config) { config.MinVersion = tls.VersionTLS10 } //nolint:gosec // the fault
		}),
		without("RFC8995-5.1-P-2", "handshake"),
		doing("RFC8995-5.1-P-3", "forgets the chain"),
		doing("RFC8995-5.1-P-4", "is eager"),
		without("RFC8995-5.1-P-5", "face"),
		without("RFC8995-5.1-P-6", "size"),
		without("RFC8995-5.1-P-7", "syntax"),
		without("RFC8995-5.1-P-8", "cut off"),
		without("RFC8995-5.1-P-9", "empty"),
	}
}

func requestMutations() []mutation {
	says := func(check, what, name string, value any, also ...string) mutation {
		return breaks(check, what, func(a *actor) {
			a.says = func(leaves map[string]any) {
				if leaves[name] = value; value == nil {
					delete(leaves, name)
				}
			}
		}, also...)
	}
	asks := func(check, what string, f func(*http.Request), also ...string) mutation {
		return breaks(check, what, func(a *actor) {
			a.asks = func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/requestvoucher") {
					f(r)
				}
			}
		}, also...)
	}
	return []mutation{
		asks("RFC8995-5.2-P-1", "a request that is labelled as JSON", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, everything()...),
		breaks("RFC8995-5.2-P-2", "a request that a stranger signs", func(a *actor) {
			a.signs = func(tls.Certificate) tls.Certificate {
				root, err := unkind.NewRoot("Stranger")
				if err != nil {
					a.t.Error(err)
					return tls.Certificate{}
				}
				return tls.Certificate{Certificate: [][]byte{root.Certificate.Raw}, PrivateKey: root.Key, Leaf: root.Certificate}
			}
		}),
		asks("RFC8995-5.2-P-3", "Accept for all", func(r *http.Request) { r.Header.Set("Accept", "*/*") }),
		says("RFC8995-5.2-P-4", "no nonce", "nonce", nil),
		doing("RFC8995-5.2-P-5", "one nonce for all"),
		says("RFC8995-5.2-P-6", "a request that says logged", "assertion", "logged"),
		says("RFC8995-5.2-P-7", "a request that names nobody", "proximity-registrar-cert", nil, "RFC8995-5.1-P-5", "RFC8995-5.6-P-6"),
		says("RFC8995-5.2-P-8", "no time", "created-on", nil),
		says("RFC8995-2.3.1-P-1", "the certificate's serial number", "serial-number", "77"),
	}
}

func answerMutations() []mutation {
	return []mutation{
		doing("RFC8995-5.6-P-1", "signs anew"),
		doing("RFC8995-5.6-P-2", "has no patience with 202"),
		doing("RFC8995-5.6-P-3", "two redirects"),
		doing("RFC8995-5.6-P-4", "goes in circles"),
		doing("RFC8995-5.6-P-5", "goes to itself"),
		doing("RFC8995-5.6-P-6", "stale requests"),
		without("RFC8995-5.6-P-7", "refusal"),
		without("RFC8995-5.6-P-8", "status"),
		doing("RFC8995-5.6-P-9", "has no patience with 503"),
		doing("RFC8995-5.6-P-10", "insists"),
		without("RFC8995-5.6-P-11", "type"),
		doing("RFC8995-5.6-P-12", "insists on an answer"),
		breaks("RFC9110-5.1-P-1", "capitals matter", func(a *actor) {
			a.sniffs = func(p []byte) error { return want(!bytes.Contains(p, []byte("\ncontent-type:"))) }
		}),
		doing("RFC9110-8.3.1-P-1", "compares types as text"),
		breaks("RFC9112-7.1-P-1", "no chunks", func(a *actor) {
			a.hears = func(r *http.Response) error { return want(len(r.TransferEncoding) == 0) }
		}),
		breaks("RFC9112-7.1-P-2", "no patience with pieces", countsPieces),
	}
}

// countsPieces chokes on answers that come in many pieces.
func countsPieces(a *actor) {
	var n atomic.Int64
	a.sniffs = func(p []byte) error {
		if bytes.HasPrefix(p, []byte("HTTP/")) {
			n.Store(0)
		}
		return want(n.Add(1) <= 6)
	}
}

func voucherMutations() []mutation {
	return []mutation{
		without("RFC8995-2.6.1-P-1", "nonce", "RFC8995-5.7-P-3"),
		without("RFC8995-2.6.1-P-2", "expired"),
		without("RFC8995-2.6.1-P-3", "future"),
		without("RFC8995-2.6.1-P-4", "signing time"),
		without("RFC8995-2.6.1-P-5", "registrar's dates"),
		refusing("RFC8995-7.2-P-1", "nonceless"),
		without("RFC8995-5.6.1-P-1", "stranger"),
		without("RFC8995-5.6.1-P-2", "namesake"),
		without("RFC8995-5.6.1-P-3", "registrar"),
		without("RFC8995-5.6.1-P-4", "signature"),
		without("RFC8995-5.6.1-P-5", "unsigned"),
		without("RFC8366bis-7.1-P-1", "attributes"),
		without("RFC8995-5.6.1-P-6", "serial", "RFC8995-5.6.2-P-5"),
		without("RFC8995-5.6.1-P-7", "no pin"),
		without("RFC8995-5.6.1-P-8", "bad pin"),
		refusing("RFC8995-5.6.1-P-9", "extra leaves"),
		without("RFC7951-4-P-1", "duplicate"),
		without("RFC8366bis-6.2-P-1", "issuer"),
		refusing("RFC8366bis-6.2-P-2", "issuers"),
	}
}

func imprintMutations() []mutation {
	return []mutation{
		without("RFC8995-5.6.2-P-1", "pin", "RFC8366bis-8-P-2"),
		without("RFC8995-5.6.2-P-2", "neighbour"),
		doing("RFC8995-5.6.2-P-3", "keeps quiet", "RFC8995-5.6.1-P-6"),
		without("RFC8995-5.6.2-P-4", "later connections"),
		without("RFC8995-5.6.2-P-5", "serial", "RFC8995-5.6.1-P-6"),
		refusing("RFC8366-5.3-P-1", "own pin"),
		without("RFC8994-6.2.5-P-1", "authority"),
		doing("RFC8366bis-8-P-1", "prefers keys"),
		doing("RFC8366bis-8-P-2", "takes either"),
	}
}

func telemetryMutations() []mutation {
	return []mutation{
		breaks("RFC8995-5.7-P-1", "telemetry that is labelled as text", labelled("/voucher_status")),
		breaks("RFC8995-5.7-P-2", "Status in capitals", func(a *actor) {
			a.tells = func(op brski.Operation, told map[string]any) {
				if op == brski.OpVoucherStatus {
					told["Status"] = told["status"]
					delete(told, "status")
				}
			}
		}, "RFC8995-5.6.1-P-6"),
		breaks("RFC8995-5.7-P-3", "no reasons", func(a *actor) {
			a.tells = func(op brski.Operation, told map[string]any) {
				if op == brski.OpVoucherStatus {
					delete(told, "reason")
				}
			}
		}),
		doing("RFC8995-5.7-P-4", "talks"),
		refusing("RFC8995-5.7-P-5", "voucher_status"),
		doing("RFC8995-5.7-P-6", "tells late"),
	}
}

// labelled has a path posted as text.
func labelled(path string) fault {
	return func(a *actor) {
		a.asks = func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, path) {
				r.Header.Set("Content-Type", "text/plain")
			}
		}
	}
}

func enrollmentMutations() []mutation {
	attributes := func(want func(status int, body []byte) bool) fault {
		return func(a *actor) {
			a.hears = func(r *http.Response) error {
				if !strings.HasSuffix(r.Request.URL.Path, "/"+string(est.OpCSRAttrs)) {
					return nil
				}
				body, err := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if err == nil && !want(r.StatusCode, body) {
					err = errors.New("no such attributes")
				}
				return err
			}
		}
	}
	return []mutation{
		doing("RFC8995-5.9-P-1", "asks for no attributes", "RFC8995-1.5-P-1"),
		doing("RFC8995-5.9-P-2", "uses one key"),
		doing("RFC8995-5.9-P-3", "asks once"),
		refusing("RFC7030-4.1.3-P-1", "rollovers"),
		breaks("RFC7030-4.5.2-P-1", "no attributes of others", attributes(func(_ int, body []byte) bool { return len(body) < 8 || !bytes.HasPrefix(body, []byte("MB")) })),
		breaks("RFC7030-4.5.2-P-2", "not without attributes", attributes(func(status int, _ []byte) bool { return status != http.StatusNotFound })),
		breaks("RFC8995-5.9.4-P-1", "a report that is labelled as text", labelled("/enrollstatus")),
		breaks("RFC8995-5.9.4-P-2", "a report without a version", func(a *actor) {
			a.tells = func(op brski.Operation, told map[string]any) {
				if op == brski.OpEnrollStatus {
					delete(told, "version")
				}
			}
		}),
		doing("RFC8995-5.9.4-P-3", "tells where it is"),
		without("RFC8995-5.9.4-P-4", "key"),
		doing("RFC8995-5.9.4-P-5", "fails elsewhere"),
		without("RFC8995-5.9.4-P-6", "issuing CA"),
		refusing("RFC8995-5.9.4-P-7", "enrollstatus"),
	}
}

package estclient

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"github.com/briskest/briskest/conformance/unkind"
)

// bodies: how answers may be written, and how not.
func bodies() []check {
	odd := func(id string, level func(check) check, text string, row string, f func(*unkind.Answer) *unkind.Answer) check {
		return level(scene(id, must, text, rows(row), script{answer: every(f)}, takes))
	}
	asMust := func(c check) check { return c }
	asShould := func(c check) check { c.Level = should; return c }
	layout := func(width int, end string) func(*unkind.Answer) *unkind.Answer {
		return func(a *unkind.Answer) *unkind.Answer { return relaid(a, width, end) }
	}
	return slices.Concat(
		in("RFC 8951, Section 3",
			odd("RFC8951-3-C-1", asMust, "Answers without Content-Transfer-Encoding are base64 all the same", "EST-8951-3-04", func(a *unkind.Answer) *unkind.Answer {
				return a.With("Content-Transfer-Encoding", "")
			}),
			odd("RFC8951-3-C-2", asMust, "Answers are base64 whatever Content-Transfer-Encoding says", "EST-8951-3-04", func(a *unkind.Answer) *unkind.Answer {
				return a.With("Content-Transfer-Encoding", "binary")
			}),
		),
		in("RFC 8951, Section 3.1",
			odd("RFC8951-3.1-C-1", asShould, "Base64 in lines of 76 characters that end in CR LF is read", "EST-8951-3.1-02", layout(76, "\r\n")),
			odd("RFC8951-3.1-C-2", asShould, "Base64 in one line without an end is read", "EST-8951-3.1-02", layout(1<<20, "")),
			odd("RFC8951-3.1-C-3", asShould, "Blanks and tabs within base64 are skipped", "EST-8951-3.1-02", layout(64, " \t\r\n")),
		),
		in("RFC 8951, Section 5.1",
			refusal("RFC8951-5.1-C-1", must, "What comes with a status of failure is no certificate, whatever it looks like",
				rows("EST-8951-5.1-02"), script{answer: onEnrollment(every(func(a *unkind.Answer) *unkind.Answer {
					a.Status = http.StatusBadRequest
					return a.With("Content-Type", "text/plain")
				}))}, refuses),
		),
		in("RFC 9110, Section 5.1",
			odd("RFC9110-5.1-C-1", asMust, "Names of header lines are understood in lower case", "EST-7030-3.1-01", func(a *unkind.Answer) *unkind.Answer {
				a.Lower = true
				return a
			}),
		),
		in("RFC 9112, Section 7.1",
			odd("RFC9112-7.1-C-1", asMust, "Answers that come in chunks are read", "EST-7030-3.1-01", func(a *unkind.Answer) *unkind.Answer {
				a.Chunked = a.Status != http.StatusNoContent
				return a
			}),
			odd("RFC9112-7.1-C-2", asShould, "Answers that come slowly are waited for", "EST-7030-3.1-01", func(a *unkind.Answer) *unkind.Answer {
				a.Pause = 20 * time.Millisecond
				return a
			}),
		),
		in("RFC 9112, Section 8",
			refusal("RFC9112-8-C-1", must, "A certificate that was cut off by the end of the connection is not taken",
				rows("EST-7030-3.1-01"), script{answer: onEnrollment(every(func(a *unkind.Answer) *unkind.Answer {
					a.Missing, a.Close = len(a.Body)/2, true
					return a
				}))}, refuses),
		),
	)
}

// relaid lays out base64 anew.
func relaid(a *unkind.Answer, width int, end string) *unkind.Answer {
	text := bytes.Join(bytes.Fields(a.Body), nil)
	var b bytes.Buffer
	for len(text) > width {
		b.Write(text[:width])
		b.WriteString(end)
		text = text[width:]
	}
	b.Write(text)
	b.WriteString(end)
	if a.Status == http.StatusOK {
		a.Body = b.Bytes()
	}
	return a
}

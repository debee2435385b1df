package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/trail"
)

// Names of files that there is one of.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.sig"
	headFile      = "head.txt"
	keyFile       = "trail.pub"
	readmeFile    = "README.txt"
)

const readme = `What led to a device's present state, as its registrar recorded it.

manifest.json     what is here: the device, entries with their proofs, records, digests of all files
manifest.sig      signature of the manifest with the trail's key
head.txt          the signed head of the trail that the proofs are about
trail.pub         the trail's public key: compare it with one that you have from elsewhere
entries/*.leaf    entries of the trail, as they were hashed; .json says what is in them
records/*.bin     records, as their digests are in an entry; .json says what is in them
artifacts/        vouchers, voucher-requests, audit-logs, certificates, requests and telemetry, as received or sent
cas/              certificates of the CAs that issue to devices

briskest evidence verify FILE checks all of it and needs no server.
`

// artifacts are the columns that are written as files of their own too, by label:
// the ending of the file's name.
func artifact(label, column string) string {
	switch label + "." + column {
	case "devices.idevid":
		return "idevid.der"
	case "certificates/outcome.raw":
		return "certificate.der"
	case "vouchers.pledge_request":
		return "pledge-voucher-request"
	case "vouchers.registrar_req":
		return "registrar-voucher-request"
	case "vouchers.voucher", "vouchers_ahead.voucher":
		return "voucher"
	case "vouchers.audit_log", "vouchers_ahead.audit_log":
		return "audit-log.json"
	case "vouchers.pledge_status":
		return "voucher-status.json"
	case "vouchers.enrollment_state":
		return "enroll-status.json"
	case "vouchers_ahead.request":
		return "registrar-voucher-request"
	case "pending.evidence":
		return "request"
	default:
		return ""
	}
}

// entryJSON is what an entry's .json says.
type entryJSON struct {
	Seq    int64           `json:"seq"`
	At     string          `json:"at"`
	Domain string          `json:"domain"`
	Kind   string          `json:"kind"`
	Device string          `json:"device,omitempty"`
	Actor  string          `json:"actor"`
	Reason string          `json:"reason,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Rows   int             `json:"rows"`
}

// recordJSON is what a record's .json says.
type recordJSON struct {
	Table  string         `json:"table"`
	Entry  int64          `json:"entry"` // that has its digest
	Values map[string]any `json:"values"`
}

// files builds every file but the manifest and its signature.
func (c *Content) files(columns Columns, key []byte, head []byte) (map[string][]byte, error) {
	out := map[string][]byte{readmeFile: []byte(readme), headFile: head, keyFile: key}
	for i := range c.Entries {
		p := &c.Entries[i]
		e, err := trail.DecodeEntry(p.Leaf)
		if err != nil {
			return nil, broken("entry %d: %v", p.Seq, err)
		}
		said, err := indented(&entryJSON{
			e.Seq, e.At.UTC().Format(time.RFC3339Nano), e.Domain, e.Kind, e.Device, e.Actor, e.Reason, e.Body, len(e.Rows),
		})
		if err != nil {
			return nil, broken("entry %d: %v", p.Seq, err)
		}
		name := fmt.Sprintf("entries/%012d", p.Seq)
		out[name+".leaf"], out[name+".json"] = p.Leaf, said
	}
	for i := range c.Records {
		if err := c.recordFiles(out, i, columns); err != nil {
			return nil, err
		}
	}
	for i, der := range c.CAs {
		out[fmt.Sprintf("cas/%02d.der", i)] = der
	}
	return out, nil
}

// recordName is the name of a record's files without their endings.
func recordName(i int, table string) string {
	return fmt.Sprintf("records/%05d-%s", i, strings.NewReplacer("/", "-", "_", "-").Replace(table))
}

func (c *Content) recordFiles(out map[string][]byte, i int, columns Columns) error {
	r := &c.Records[i]
	keys, others := columns(r.Table)
	values, err := trail.Values(r.Values)
	if err != nil {
		return broken("record %d: %v", i, err)
	}
	names := append(append([]string(nil), keys...), others...)
	if len(keys) == 0 || len(values) != len(names) {
		return broken("record %d: %d values of table %.40q, which has %d columns here", i, len(values), r.Table, len(names))
	}
	said := recordJSON{Table: r.Table, Entry: r.Seq, Values: make(map[string]any)}
	for n, v := range values {
		b, ok := v.([]byte)
		if !ok {
			said.Values[names[n]] = v
			continue
		}
		said.Values[names[n]] = hex.EncodeToString(b)
		if ending := artifact(r.Table, names[n]); ending != "" {
			file := fmt.Sprintf("artifacts/%05d-%s", i, ending)
			out[file] = b
			sum := sha256.Sum256(b)
			said.Values[names[n]] = map[string]string{"file": file, "sha256": hex.EncodeToString(sum[:])}
		}
	}
	text, err := indented(&said)
	if err != nil {
		return err
	}
	name := recordName(i, r.Table)
	out[name+".bin"], out[name+".json"] = r.Values, text
	return nil
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

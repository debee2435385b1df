package pledge

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/briskest/briskest/voucher"
)

// Stage is how far a device has come. It is stored.
type Stage string

// The stages.
const (
	Fresh     Stage = ""          // nothing learned
	Requested Stage = "requested" // a voucher-request is stored and may be out
	Imprinted Stage = "imprinted" // a verified voucher is stored
	Enrolling Stage = "enrolling" // CA certificates and key are stored, a CSR may be out
	Enrolled  Stage = "enrolled"  // the LDevID is stored
)

const stateVersion = 1

// state is what state.json holds. Every other file counts only as long as its
// hash stands here, so that saving the state is what makes a step happen:
// whatever a power cut leaves beside it is ignored and replaced.
type state struct {
	Version int    `json:"version"`
	IDevID  string `json:"idevid_sha256"` // whose state this is
	Stage   Stage  `json:"stage"`

	Attempts []*record `json:"attempts,omitempty"` // before Imprinted: by place, oldest first

	Registrar   string    `json:"registrar,omitempty"` // URL of the one that the voucher is for
	Via         string    `json:"via,omitempty"`       // how it was found
	Request     string    `json:"request_sha256,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"` // of this request, first sent

	Voucher         string    `json:"voucher_sha256,omitempty"`
	ImprintedAt     time.Time `json:"imprinted_at,omitzero"` // when the voucher was verified
	VoucherReported bool      `json:"voucher_reported,omitempty"`

	CACerts  string    `json:"cacerts_sha256,omitempty"`
	Key      string    `json:"key_sha256,omitempty"` // of the LDevID key's SubjectPublicKeyInfo
	EnrollAt time.Time `json:"enrolling_since,omitzero"`

	Certificate    string `json:"certificate_sha256,omitempty"` // of the DER
	EnrollReported bool   `json:"enrollment_reported,omitempty"`

	Next *renewal `json:"renewal,omitempty"`
}

// renewal is the part of a renewal that is done. With a Certificate it is
// decided: the next key, certificate and CA certificates only have to be moved
// into place.
type renewal struct {
	Key         string    `json:"key_sha256"`
	Since       time.Time `json:"since"`
	Certificate string    `json:"certificate_sha256,omitempty"`
	CACerts     string    `json:"cacerts_sha256,omitempty"` // empty where they stay as they are
}

// run is one call of a method: the state and what it refers to.
type run struct {
	*Pledge
	origin // that link is to
	st     *state
	hunt   *hunt // while several registrars are asked; else nil

	requestRaw  []byte
	request     *voucher.Request
	requestedAt time.Time        // first sent; bounds the waiting
	requestName string           // the file
	verified    bool             // Config.CloudAnchors vouch for the server: it is a cloud registrar
	asked       []origin         // by this attempt, redirects included
	watched     *target          // of hunt: what this attempt is at
	voucherRaw  []byte           // that was verified, and is to be stored
	voucher     *voucher.Voucher // verified
	pin         *pin             // of voucher
	made        time.Time        // the voucher, as its signer says
	cas         []*x509.Certificate
	key         crypto.Signer
	cert        *x509.Certificate
	link        *link // to the registrar; nil until connected
}

func (p *Pledge) fresh() *state {
	return &state{Version: stateVersion, IDevID: hexHash(p.idevid.Raw)}
}

// load reads the state and what its stage needs. A stage whose files are not
// what the state says falls back to the last one that is whole.
func (p *Pledge) load() (*run, error) {
	r := &run{Pledge: p, st: p.fresh()}
	data, err := p.c.State.Load(FileState)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, storageError("reading the state", err)
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, storageError("reading the state", err)
	}
	if st.Version != stateVersion {
		return nil, &Error{
			Reason:  ReasonNewerVersion,
			Message: fmt.Sprintf("the stored state has version %d, this program knows %d", st.Version, stateVersion),
		}
	}
	if st.IDevID != r.st.IDevID {
		return nil, &Error{
			Reason: ReasonOtherDevice, Message: "the stored state belongs to another IDevID; use another directory or remove it",
		}
	}
	r.st = &st
	if err := r.restore(); err != nil {
		return nil, err
	}
	if r.st.Stage != Fresh {
		r.step(StepResumed, FileState, fmt.Sprintf("an earlier run got to %q", r.st.Stage))
	}
	return r, nil
}

// restore loads the files of each stage in turn.
func (r *run) restore() error {
	if r.st.Next != nil && r.st.Next.Certificate != "" {
		if err := r.promote(); err != nil {
			return err
		}
	}
	if r.st.Stage == Enrolled {
		return r.restoreEnrolled()
	}
	return r.restoreUpTo(r.st.Stage)
}

// restoreEnrolled needs what membership needs. A device stays enrolled without
// its voucher, whatever became of that; it only has no pin any more.
func (r *run) restoreEnrolled() error {
	err := r.loadEnrolling()
	if err == nil {
		err = r.loadLDevID()
	}
	if errors.Is(err, errNotWhole) {
		return r.restoreUpTo(Enrolled)
	}
	if err != nil {
		return err
	}
	err = r.loadRequest()
	if err == nil {
		err = r.loadVoucher()
	}
	if err != nil {
		r.c.Log.Warn("the stored voucher is not whole", slog.Any("error", err))
	}
	return nil
}

// restoreUpTo loads the files of each stage in turn, up to the first that is not whole.
func (r *run) restoreUpTo(stored Stage) error {
	stages := []struct {
		stage Stage
		load  func() error
	}{{Requested, r.loadRequest}, {Imprinted, r.loadVoucher}, {Enrolling, r.loadEnrolling}, {Enrolled, r.loadLDevID}}
	r.st.Stage = Fresh
	if stored == Fresh {
		return nil
	}
	if stored == Requested && r.st.Request == "" { // the requests are out that Attempts name
		r.st.settleStage()
		return nil
	}
	for _, s := range stages {
		err := s.load()
		if errors.Is(err, errNotWhole) {
			r.c.Log.Warn("stored state is not whole", slog.String("stage", string(s.stage)), slog.Any("error", err))
			return nil
		}
		if err != nil {
			return err
		}
		if r.st.Stage = s.stage; s.stage == stored {
			return nil
		}
	}
	return storageError("reading the state", fmt.Errorf("stage %q is not known", stored))
}

// errNotWhole says that a file is missing or not the one the state means.
var errNotWhole = errors.New("missing or another file")

// file loads name, which must have the hash.
func (r *run) file(name, hash string) ([]byte, error) {
	data, err := r.c.State.Load(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", name, errNotWhole)
	case err != nil:
		return nil, storageError("reading "+name, err)
	case hexHash(data) != hash:
		return nil, fmt.Errorf("%s: %w", name, errNotWhole)
	default:
		return data, nil
	}
}

func (r *run) loadRequest() error {
	data, err := r.file(r.names().request, r.st.Request)
	if err != nil {
		return err
	}
	request, _, err := r.c.Format.OpenRequest(data)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	r.requestRaw, r.request = data, request
	return nil
}

// loadVoucher verifies again, as of the time when it was verified first.
func (r *run) loadVoucher() error {
	data, err := r.file(r.names().voucher, r.st.Voucher)
	if err != nil {
		return err
	}
	if e := r.checkVoucher(data, r.st.ImprintedAt); e != nil {
		return fmt.Errorf("%w: %w", errNotWhole, e)
	}
	return nil
}

func (r *run) loadEnrolling() error {
	data, err := r.file(FileCACerts, r.st.CACerts)
	if err != nil {
		return err
	}
	if r.cas, err = parseCertificates(data); err != nil {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	if r.key, err = r.loadKey(FileKey, r.st.Key); err != nil {
		return err
	}
	return nil
}

func (r *run) loadLDevID() error {
	data, err := r.c.State.Load(FileLDevID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storageError("reading "+FileLDevID, err)
	}
	certs, err := parseCertificates(data)
	if err != nil || hexHash(certs[0].Raw) != r.st.Certificate {
		return fmt.Errorf("%s: %w", FileLDevID, errNotWhole)
	}
	r.cert = certs[0]
	return nil
}

// save makes the state durable; with it a step has happened.
func (r *run) save() error {
	data, err := json.MarshalIndent(r.st, "", "  ")
	if err != nil {
		return storageError("writing the state", err)
	}
	return r.store(FileState, append(data, '\n'))
}

func (r *run) store(name string, data []byte) error {
	if err := r.c.State.Save(name, data); err != nil {
		return storageError("writing "+name, err)
	}
	return nil
}

// names are those of the artifacts, by format.
func (p *Pledge) names() struct{ request, voucher string } {
	return struct{ request, voucher string }{"request" + p.extension(), "voucher" + p.extension()}
}

func (p *Pledge) extension() string {
	switch p.c.Format.MediaType() {
	case "application/voucher-jws+json":
		return ".vjj"
	case "application/voucher+cose":
		return ".vch"
	default:
		return ".vcj"
	}
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

package cmpca

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/briskest/briskest/ca"
	"github.com/briskest/briskest/internal/cmp"
)

// step is where a transaction stands.
type step string

const (
	stepAsk     step = "ask"     // the request is to be sent, perhaps once more
	stepPoll    step = "poll"    // the CA waits; it is to be asked whether it has decided
	stepConfirm step = "confirm" // the certificate is here, checked, and the CA is to be told
)

// transaction is what is kept between calls, so that a restart goes on where the
// last call ended. There is nothing secret in it.
type transaction struct {
	Version int  `json:"version"` // 1
	Step    step `json:"step"`
	// Repeat says that the request was sent before.
	Repeat bool `json:"repeat,omitempty"`
	// PeerNonce is the senderNonce of the CA's last message; ours are made anew for each.
	PeerNonce []byte `json:"peer_nonce,omitempty"`
	// RequestID is the certReqId to poll or to confirm with.
	RequestID int64 `json:"request_id"`
	// Certificate is what is to be confirmed, DER.
	Certificate []byte `json:"certificate,omitempty"`

	// id is the transactionID. It follows from the issuance, so that one whose state
	// was never stored is asked for under the same.
	id []byte
}

// open starts a transaction, or goes on with the one that an earlier call left.
func (c *CA) open(r *ca.Request) (*transaction, error) {
	sum := sha256.New()
	sum.Write([]byte("briskest CMP transaction\x00"))
	sum.Write(c.sender)
	sum.Write([]byte{0})
	sum.Write([]byte(r.ID))
	t := &transaction{Version: 1, Step: stepAsk, Repeat: r.Asked != nil}
	if r.Asked != nil && len(r.State) > 0 {
		*t = transaction{}
		if err := json.Unmarshal(r.State, t); err != nil {
			return nil, fmt.Errorf("cmpca: the state of %s cannot be read: %w", r.ID, err)
		}
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("cmpca: the state of %s is not one that this program wrote: %w", r.ID, err)
		}
	}
	t.id = sum.Sum(nil)[:16]
	return t, nil
}

func (t *transaction) check() error {
	switch {
	case t.Version != 1:
		return fmt.Errorf("version %d", t.Version)
	case len(t.PeerNonce) > cmp.MaxOctets:
		return errors.New("a nonce that is too long")
	case t.Step == stepAsk, t.Step == stepPoll, t.Step == stepConfirm && t.Certificate != nil:
		return nil
	}
	return fmt.Errorf("step %.20q", t.Step)
}

// later puts the state into an error after which the same is asked again; others
// stay as they are.
func (t *transaction) later(err error) error {
	var later *ca.Later
	if !errors.As(err, &later) {
		return err
	}
	state, encodeErr := json.Marshal(t)
	if encodeErr != nil {
		return errors.Join(err, encodeErr)
	}
	return &ca.Later{Err: later.Err, After: later.After, State: state}
}

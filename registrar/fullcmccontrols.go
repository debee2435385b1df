package registrar

import (
	"context"
	"slices"

	"github.com/briskest/briskest/internal/cmc"
)

// cmcControls are the controls of a message by what they are for. Each type that
// is taken is named in sort; every other one refuses the message.
type cmcControls struct {
	transaction    *cmc.TransactionID
	nonce          cmc.SenderNonce
	returns        []cmc.DataReturn
	identification cmc.Identification
	proof          *cmc.IdentityProofV2
	oldProof       cmc.IdentityProof
	linkRandom     cmc.POPLinkRandom
	batch          bool

	fromRA []cmc.Control // only an RA may send these
	acts   []cmc.Control // these ask for something
}

// sort enumerates the controls that are taken (RFC 5272, Section 3.2.1.1). One
// that is not known, or is for others to send, refuses the message before
// anything in it is acted on. Controls that an RA has processed are left out.
func (k *cmcControls) sort(d *cmc.PKIData, processed []cmc.BodyPartID) *refused {
	var unknown []cmc.BodyPartID
	*k = cmcControls{}
	for i := range d.Controls {
		control := d.Controls[i]
		if slices.Contains(processed, control.ID) {
			continue
		}
		switch value := control.Value.(type) {
		case *cmc.TransactionID:
			k.transaction = value
		case cmc.SenderNonce:
			k.nonce = value
		case cmc.RecipientNonce:
			// It answers a nonce of ours, which nobody remembers: asking again is safe.
		case cmc.DataReturn:
			k.returns = append(k.returns, value)
		case cmc.Identification:
			k.identification = value
		case *cmc.IdentityProofV2:
			k.proof = value
		case cmc.IdentityProof:
			k.oldProof = value
		case cmc.POPLinkRandom:
			k.linkRandom = value
		case *cmc.LRAPOPWitness, *cmc.AddExtensions, *cmc.ModCertTemplate, cmc.ControlsProcessed, cmc.RAIdentityWitness:
			k.fromRA = append(k.fromRA, control)
		case cmc.BatchRequests:
			k.batch = true
			k.fromRA = append(k.fromRA, control)
		case *cmc.RevokeRequest, cmc.QueryPending, *cmc.ConfirmCertAcceptance, *cmc.GetCert, *cmc.GetCRL:
			k.acts = append(k.acts, control)
		default:
			unknown = append(unknown, control.ID)
		}
	}
	if len(unknown) > 0 {
		return refuseParts(deny(ReasonCMCControl, "cmc-control"), unknown...)
	}
	return nil
}

// echo keeps what a refusal repeats of a message that is refused as a whole.
func (k *cmcControls) echo(d *cmc.PKIData) {
	var all cmcControls
	_ = all.sort(d, nil) // sorts what it takes
	k.transaction, k.nonce, k.returns = all.transaction, all.nonce, all.returns
}

// processed are the controls of m that an RA around it has processed
// (RFC 5272, Section 6.19). What a message says about its own controls does not count.
func (m *cmcMessage) processed() []cmc.BodyPartID {
	var ids []cmc.BodyPartID
	for outer := m.parent; outer != nil; outer = outer.parent {
		for i := range outer.fromRA {
			paths, _ := outer.fromRA[i].Value.(cmc.ControlsProcessed)
			for _, path := range paths {
				if rest, ok := m.below(outer, path); ok && len(rest) == 1 {
					ids = append(ids, rest[0])
				}
			}
		}
	}
	return ids
}

// below tells whether a path of outer's leads to m or to a part of it, which is
// the rest.
func (m *cmcMessage) below(outer *cmcMessage, path cmc.BodyPartPath) (cmc.BodyPartPath, bool) {
	way := m.path[len(outer.path):]
	if len(path) < len(way) || !slices.Equal(path[:len(way)], way) {
		return nil, false
	}
	return path[len(way):], true
}

// control does what one control asks for.
func (x *cmcExchange) control(ctx context.Context, m *cmcMessage, control *cmc.Control) {
	switch value := control.Value.(type) {
	case *cmc.RevokeRequest:
		x.revoke(ctx, m, control.ID, value)
	case cmc.QueryPending:
		x.query(ctx, m, control.ID, value)
	case *cmc.ConfirmCertAcceptance:
		x.confirm(ctx, m, control.ID, value)
	case *cmc.GetCert:
		x.getCert(ctx, m, control.ID, value)
	case *cmc.GetCRL:
		x.getCRL(ctx, m, control.ID, value)
	default:
		x.refuse(ctx, m, m.c, refuseParts(deny(ReasonCMCControl, "cmc-control"), control.ID))
	}
}

package pledge

import (
	"context"
	"errors"
)

// Onboard brings the device into the domain: from wherever the stored state is
// to an LDevID that is stored and reported. Called again afterwards it does
// nothing but return the Result. Each registrar that is named or found is asked
// once, and the cloud registrar when none of them lets the device in; after an
// error, which is an *[Error], the caller decides when to try again. With several
// registrars it is that of the most hopeful one, and its cause has them all.
//
// A Discoverer is asked until it has nothing more for now (io.EOF). A registrar
// that has not decided is asked again for up to Config.MaxWait.
func (p *Pledge) Onboard(ctx context.Context) (*Result, error) { return p.join(ctx, true) }

// Join is Onboard without an end: a registrar that fails or refuses is left alone
// for a while, twice as long each time and at most an hour, and then tried again,
// and the Discoverer is listened to all the time (RFC 8995, Section 4.1). It
// returns early only where trying again is of no use: ctx has ended, the device is
// at fault (configuration, storage), or each registrar that there is said so.
//
// Other methods wait until it returns.
func (p *Pledge) Join(ctx context.Context) (*Result, error) { return p.join(ctx, false) }

func (p *Pledge) join(ctx context.Context, once bool) (*Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.load()
	if err != nil {
		return nil, err
	}
	defer func() { r.close() }()
	if r.st.Stage == Fresh || r.st.Stage == Requested {
		won, err := r.seekVoucher(ctx, once)
		if err != nil {
			return nil, err
		}
		r = won
		if err := r.storeVoucher(); err != nil {
			return nil, err
		}
	}
	for failures := 1; r.st.Stage != Enrolled; failures++ {
		err := r.enroll(ctx)
		if err == nil {
			break
		}
		var e *Error
		if once || ctx.Err() != nil || !errors.As(err, &e) || e.class == nil || e.class == ErrPending {
			return nil, err
		}
		r.close()
		r.origin = origin{} // another one of the domain may do
		if r.c.Wait(ctx, backoff(e, failures)) != nil {
			return nil, err
		}
	}
	r.reportEnrollment(ctx)
	return r.result(), nil
}

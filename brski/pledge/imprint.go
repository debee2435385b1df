package pledge

import "fmt"

// storeVoucher makes the imprint happen: from here on the device knows its
// domain, and what was begun with other registrars is nothing any more.
func (r *run) storeVoucher() error {
	old := r.st
	if err := r.store(r.names().request, r.requestRaw); err != nil {
		return err
	}
	if err := r.store(r.names().voucher, r.voucherRaw); err != nil {
		return err
	}
	r.st = r.fresh()
	r.st.Registrar, r.st.Via, r.st.Request, r.st.RequestedAt = r.base, r.via, hexHash(r.requestRaw), r.requestedAt
	r.st.Stage, r.st.Voucher, r.st.ImprintedAt = Imprinted, hexHash(r.voucherRaw), r.c.Now()
	r.st.VoucherReported = r.via == viaESTDomain // to the cloud registrar; see moveToEST
	if err := r.save(); err != nil {
		return err
	}
	if err := r.removeRequests(old.Attempts...); err != nil {
		return err
	}
	r.step(StepImprinted, r.names().voucher, fmt.Sprintf(
		"the certificate of %s follows from the pinned %s; this connection is authenticated", r.address, r.pin))
	return nil
}

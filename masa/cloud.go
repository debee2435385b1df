package masa

import (
	"crypto/x509"
	"net/http"
	"slices"
)

// draftCloud is where a voucher comes to name the server that a device is to go
// on with.
const draftCloud = "draft-ietf-anima-brski-cloud-20, Section 3.2.3"

// checkCloud looks at the leaf est-domain of the registrar's request, by which a
// cloud registrar asks on behalf of a device's owner for a voucher that sends the
// device to the owner's EST server. Only those that the settings name may, and
// only with the request of the device that is connected to them.
func (x *exchange) checkCloud() error {
	if x.request.ESTDomain == "" {
		return nil
	}
	switch {
	case !x.settings.isCloud(x.chains):
		return forbid(ReasonCloud, draftCloud,
			"The voucher-request has the leaf est-domain, with which cloud registrars ask for others, and this MASA does not know the registrar as one. "+
				"Ask the manufacturer to note it.")
	case x.prior == nil:
		return forbid(ReasonPriorMissing, draftCloud,
			"A cloud registrar asks only for a device that asks it. Include the pledge's voucher-request.")
	case x.request.Nonce == "":
		return forbid(ReasonNonceless, draftCloud, "A cloud registrar asks with the nonce of the pledge.")
	}
	x.cloud = true
	return nil
}

// isCloud tells whether one of the chains has the key of a registrar that may
// ask on behalf of owners. It signed what is below it, or else the request.
func (s *Settings) isCloud(chains [][]*x509.Certificate) bool {
	for _, chain := range chains {
		for _, c := range chain {
			if k := s.registrarKeys[keyHash(c)]; k != nil && k.Cloud {
				return true
			}
		}
	}
	return false
}

// withClouds returns the anchors with the certificates of those cloud
// registrars, which the settings vouch for.
func (s *Settings) withClouds(anchors *x509.CertPool) *x509.CertPool {
	if len(s.clouds) == 0 {
		return anchors
	}
	pool := anchors.Clone()
	for _, c := range s.clouds {
		pool.AddCert(c)
	}
	return pool
}

// sentTo returns the owner whose EST server the cloud registrar names, and the
// owner's certificate, which the request has with it: that is what is pinned. Of
// several the one noted last. What the cloud registrar says by itself does not
// count: it cannot give a device to anybody.
func (x *exchange) sentTo(owners []*Owner) (*Owner, *x509.Certificate) {
	for _, o := range slices.Backward(owners) { // in order of ID, which is that of time
		if !o.Until.IsZero() || o.ESTDomain != x.request.ESTDomain {
			continue
		}
		for _, c := range x.artifact.Certificates {
			if o.owns(c) && !x.at.After(c.NotAfter) && !x.at.Before(c.NotBefore) {
				return o, c
			}
		}
	}
	return nil, nil
}

// decideCloud is decideOwner for a cloud registrar.
func (x *exchange) decideCloud(owners []*Owner) error {
	o, certificate := x.sentTo(owners)
	x.known = true
	switch {
	case o != nil:
		x.owned, x.since, x.domain = true, o.Since, certificate
		return nil
	case len(owners) == 0:
		return refuse(http.StatusForbidden, ReasonNoOwner, draftCloud,
			"The manufacturer has no owner on record for this device. Have the owner noted, with est-domain and certificate.")
	default:
		return refuse(http.StatusForbidden, ReasonNotOwner, draftCloud,
			"No owner on record of this device has this est-domain and one of the certificates in the request. "+
				"Have the manufacturer note what the cloud registrar's configuration says, or correct that.")
	}
}

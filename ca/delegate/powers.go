package delegate

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// checkPowers refuses certificates that say more of their holder than the
// profile does: a CA, or one above more CAs (RFC 5280, Section 4.2.1.9).
func (o *Order) checkPowers(cert *x509.Certificate) error {
	isCA, pathLength := o.Profile.Authority()
	switch {
	case cert.IsCA != isCA:
		return fmt.Errorf("basicConstraints say CA %t, the profile %s %t", cert.IsCA, o.Intent.Profile, isCA)
	// crypto/x509 has -1 for no limit.
	case isCA && pathLength >= 0 && (cert.MaxPathLen < 0 || cert.MaxPathLen > pathLength):
		return fmt.Errorf("its path length is %d, where -1 is no limit, and that of the profile %s %d", cert.MaxPathLen, o.Intent.Profile, pathLength)
	}
	if !isCA && cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return errors.New("its key usage lets it sign certificates or revocation lists")
	}
	return nil
}

// usual are the usages that other CAs add by default and that give nobody a say
// over others: those of TLS keys.
const usualUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageDataEncipherment

func usualExtended() []asn1.ObjectIdentifier {
	return []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}, {1, 3, 6, 1, 5, 5, 7, 3, 2}} // server_auth, client_auth
}

// checkUsages wants every usage of the profile (RFC 5280, Sections 4.2.1.3 and
// 4.2.1.12), and none beside that but the usual ones. A certificate without
// either extension is good for all that needs no special one.
func (o *Order) checkUsages(cert *x509.Certificate) error {
	usage, extended := o.Profile.Usages(cert.PublicKey)
	if missing := usage &^ cert.KeyUsage; cert.KeyUsage != 0 && missing != 0 {
		return fmt.Errorf("its key usage lacks bits %#x of the profile %s (RFC 5280, Section 4.2.1.3)", int(missing), o.Intent.Profile)
	}
	if more := cert.KeyUsage &^ usage &^ usualUsage; more != 0 {
		return fmt.Errorf("its key usage has bits %#x, which the profile %s does not give (RFC 5280, Section 4.2.1.3)", int(more), o.Intent.Profile)
	}
	has, err := extendedOf(cert)
	if err != nil {
		return err
	}
	for _, id := range has {
		if !slices.ContainsFunc(extended, id.Equal) && !slices.ContainsFunc(usualExtended(), id.Equal) {
			return fmt.Errorf("it has the extended key usage %s, which the profile %s does not give", id, o.Intent.Profile)
		}
	}
	for _, id := range extended {
		if len(has) > 0 && !slices.ContainsFunc(has, id.Equal) {
			return fmt.Errorf("it lacks the extended key usage %s of the profile %s", id, o.Intent.Profile)
		}
	}
	return nil
}

// extendedOf reads the extension; nil: there is none.
func extendedOf(cert *x509.Certificate) ([]asn1.ObjectIdentifier, error) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
			continue
		}
		var ids []asn1.ObjectIdentifier
		if rest, err := asn1.Unmarshal(e.Value, &ids); err != nil || len(rest) > 0 || len(ids) == 0 {
			return nil, errors.New("its extended key usages cannot be read")
		}
		return ids, nil
	}
	return nil, nil
}

// knownUsages are the ordered ones that crypto/x509 has a name for and that the
// certificate spells out.
func (o *Order) knownUsages(cert *x509.Certificate) []x509.ExtKeyUsage {
	words := map[string]x509.ExtKeyUsage{
		"server_auth": x509.ExtKeyUsageServerAuth, "client_auth": x509.ExtKeyUsageClientAuth, "code_signing": x509.ExtKeyUsageCodeSigning,
		"email_protection": x509.ExtKeyUsageEmailProtection, "time_stamping": x509.ExtKeyUsageTimeStamping, "ocsp_signing": x509.ExtKeyUsageOCSPSigning,
	}
	var out []x509.ExtKeyUsage
	for _, word := range o.Profile.Document().ExtendedKeyUsage {
		if usage, ok := words[word]; ok && slices.Contains(cert.ExtKeyUsage, usage) {
			out = append(out, usage)
		}
	}
	return out
}

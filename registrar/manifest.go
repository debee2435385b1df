package registrar

import "crypto/x509"

// ManifestAnchors are the CAs that signers of a manufacturer's manifests chain to, by the
// settings in force; nil where none are taken.
func (s *Service) ManifestAnchors(manufacturer string) *x509.CertPool {
	if m := s.current.Load().Manufacturers[manufacturer]; m != nil {
		return m.ManifestAnchors
	}
	return nil
}

package est

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"time"
)

// Package is an item of the package availability list: something that the server has for this client (RFC 8295, Section
// 2.1).
type Package struct {
	Type PackageType
	// Date is when the client last acknowledged the package; zero when that is not known. Whole seconds, UTC.
	Date time.Time
	// Size of the package in bytes, as far as it is known.
	Size int64
	Info PackageInfo
}

// PackageType is four digits of the PAL Package Types registry (RFC 8295, Section 10.2).
type PackageType string

// Package types that this package names.
const (
	PackageMore            PackageType = "0001" // a further list
	PackageCACertificates  PackageType = "0002"
	PackageEECertificates  PackageType = "0003"
	PackageCRL             PackageType = "0005"
	PackageEnrollWithAttrs PackageType = "0006" // enrollment that csrattrs comes first
	PackageEnroll          PackageType = "0007"
	PackageReenroll        PackageType = "0010"
)

// PackageInfo says where a package is, or which certificate it is about: exactly one of distinguished name, subject key
// identifier, issuer with serial number, and URI (RFC 8295, Section 2.1).
type PackageInfo struct {
	DN     string // RFC 4514
	SKI    []byte
	Issuer string // RFC 4514; with Serial
	Serial *big.Int
	URI    string
}

// Bounds of a package availability list.
const (
	maxPackages   = 64 // in one list, the link to the next one included
	maxPALText    = 1024
	palTimeLayout = "2006-01-02T15:04:05Z"
)

// ErrPAL is what a package availability list that cannot be read, or should not be sent, gives.
var ErrPAL = errors.New("not a package availability list (RFC 8295, Section 2.1)")

var packageType = regexp.MustCompile(`^[0-9]{4}$`)

// check tells what is wrong with the item.
func (p *Package) check() error {
	i, named := &p.Info, 0
	for _, present := range []bool{i.DN != "", len(i.SKI) > 0, i.Issuer != "" || i.Serial != nil, i.URI != ""} {
		if present {
			named++
		}
	}
	switch {
	case !packageType.MatchString(string(p.Type)) || p.Type == "0000":
		return fmt.Errorf("%w: the type %.20q is not four digits", ErrPAL, p.Type)
	case p.Size < 0:
		return fmt.Errorf("%w: a size below zero", ErrPAL)
	case named != 1:
		return fmt.Errorf("%w: info names %d of DN, SKI, issuer with serial number, and URI; one is wanted", ErrPAL, named)
	case (i.Issuer == "") != (i.Serial == nil) || i.Serial != nil && i.Serial.Sign() < 0:
		return fmt.Errorf("%w: an issuer without serial number, or the other way round", ErrPAL)
	case max(len(i.DN), len(i.SKI), len(i.Issuer), len(i.URI)) > maxPALText || i.Serial != nil && i.Serial.BitLen() > 160:
		return fmt.Errorf("%w: an info of more than %d bytes", ErrPAL, maxPALText)
	}
	return nil
}

// checkPAL tells what is wrong with a list: each item, and the link to a further list, which is the last of several
// (RFC 8295, Section 2.1.1).
func checkPAL(list []Package) error {
	if len(list) == 0 || len(list) > maxPackages {
		return fmt.Errorf("%w: %d items; 1 to %d are taken", ErrPAL, len(list), maxPackages)
	}
	for n := range list {
		if err := list[n].check(); err != nil {
			return fmt.Errorf("item %d: %w", n+1, err)
		}
		if list[n].Type != PackageMore {
			continue
		}
		if n != len(list)-1 || n == 0 || list[n].Info.URI == "" {
			return fmt.Errorf("%w: item %d is the link to a further list, which is the last of several, with a URI", ErrPAL, n+1)
		}
	}
	return nil
}

// palPage returns the items of one page, counted from 0; further pages are at next.
func palPage(all []Package, page int, next func(page int) string) []Package {
	const each = maxPackages - 1
	start := page * each
	if len(all) <= maxPackages && page == 0 {
		return all
	}
	if start >= len(all) {
		return nil
	}
	rest := all[start:]
	if len(rest) <= maxPackages {
		return rest
	}
	list := append([]Package(nil), rest[:each]...)
	return append(list, Package{Type: PackageMore, Info: PackageInfo{URI: next(page + 1)}})
}

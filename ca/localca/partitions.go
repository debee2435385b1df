package localca

import (
	"fmt"

	"github.com/briskest/briskest/ca/profile"
)

// WithCRLPartitions returns a CA that is the same but for Config.CRLPartitions.
func (c *CA) WithCRLPartitions(count int) (*CA, error) {
	if !profile.ValidPartitions(count) {
		return nil, fmt.Errorf("localca: %d partitions of revocation lists are no power of two up to %d", count, profile.MaxPartitions)
	}
	other := *c
	other.partitions = count
	return &other, nil
}

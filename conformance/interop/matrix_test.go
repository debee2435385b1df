package interop_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// matrix runs cases and counts them by client.
type matrix struct {
	mu    sync.Mutex
	count map[string]int // by client; guarded by mu
}

// client is one column of the matrix: somebody's program against the site.
type client struct {
	name   string
	site   *site
	matrix *matrix
	t      *testing.T
}

// run runs one case of the client, beside others. The name says operation and way.
func (c *client) run(name string, f func(t *testing.T)) {
	c.t.Helper()
	c.t.Run(name, func(t *testing.T) {
		t.Parallel()
		c.counted()
		f(t)
	})
}

// inOrder runs one case when the one before it has ended.
func (c *client) inOrder(name string, f func(t *testing.T)) {
	c.t.Helper()
	c.t.Run(name, func(t *testing.T) {
		c.counted()
		f(t)
	})
}

func (c *client) counted() {
	c.matrix.mu.Lock()
	defer c.matrix.mu.Unlock()
	c.matrix.count[c.name]++
}

// figures is the line that testreport prints.
func (m *matrix) figures() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := 0
	parts := make([]string, 0, len(m.count))
	for _, name := range slices.Sorted(maps.Keys(m.count)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m.count[name]))
		total += m.count[name]
	}
	return fmt.Sprintf("figures: interop cases: %s; %d in all", strings.Join(parts, ", "), total)
}

// TestOtherPeoplesClients has each client do each of its operations, in each way it has, with a running registrar
// (RFC 7030, Section 4). A client that is not installed is skipped by name.
func TestOtherPeoplesClients(t *testing.T) {
	m := &matrix{count: make(map[string]int)}
	s := newSite(t)
	drivers := []struct {
		client string
		drive  func(c *client)
	}{
		{"curl", driveCurl}, {"strongswan", driveStrongSwan}, {"globalsign", driveGlobalSign},
		{"bouncycastle", driveBouncyCastle}, {"libest", driveLibest},
	}
	t.Run("client", func(t *testing.T) {
		for _, d := range drivers {
			t.Run(d.client, func(t *testing.T) {
				t.Parallel()
				d.drive(&client{name: d.client, site: s, matrix: m, t: t})
			})
		}
	})
	t.Log(m.figures())
}

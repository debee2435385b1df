package systemtest_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/briskest/briskest/brski/pledge"
	"github.com/briskest/briskest/internal/systemtest"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// slowToClose is a connection that is not closed before the other end has
// answered the closing.
type slowToClose struct {
	net.Conn
	asked  *atomic.Bool // the request is at the server
	once   sync.Once
	answer chan struct{} // closed when something was read after that
}

func (c *slowToClose) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.asked.Load() {
		c.once.Do(func() { close(c.answer) })
	}
	return n, err
}

func (c *slowToClose) Close() error {
	if c.asked.Load() {
		<-c.answer
	}
	return c.Conn.Close()
}

// R27; RFC 8995, Section 5.6: a registrar whose voucher is not whole in time has not
// answered. net/http closes the connection then, a server in Go ends its answer at that
// as if it were whole, and the half is not held against the registrar.
func TestAVoucherThatIsNotWholeInTimeIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := systemtest.NewInMemory(t)
		d := w.Domain("A")
		device := w.Vendor.Build("SN-1")
		var asked atomic.Bool
		device.Config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.Dial(ctx, network, address)
			return &slowToClose{Conn: conn, asked: &asked, answer: make(chan struct{})}, err
		}
		url := w.Serve(d.Registrar, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", vouchercms.MediaType)
			_, _ = rw.Write([]byte("half of a vou"))
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(time.Second) //nolint:forbidigo // in a synctest bubble: the half is there
			asked.Store(true)
			systemtest.Silent(rw, r)
		}))
		if err := device.Onboard(url); systemtest.Reason(err) != pledge.ReasonUnreachable {
			t.Errorf("the device: %v, want %s", err, pledge.ReasonUnreachable)
		}
	})
}

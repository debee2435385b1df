package httpserver

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// waitingRoom accepts connections, and hands them on when there is capacity for
// a handshake. A handshake is most of what a request costs: begun for thousands
// at once, none is over before its client, or the server, gives up.
//
// Connections are bounded in all and for each address; one above its address's
// share is closed at once. Those that wait cost a socket each and no more.
// Addresses are served in turn, and none has more than its share of the
// handshakes, so that one that lets them hang leaves room.
type waitingRoom struct {
	net.Listener
	places chan struct{} // a value for each connection
	shares *shares       // of connections
	starts *shares       // of handshakes
	log    *slog.Logger
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	changed *sync.Cond
	free    int                          // handshakes that may begin; guarded by mu, and so are the rest
	waiting map[netip.Prefix][]*heldConn // in order of arrival
	turns   []netip.Prefix               // the keys of waiting, whose turn is next first
	err     error                        // why there is nothing more to come
}

// newWaitingRoom owns l.
func newWaitingRoom(l net.Listener, c *Config) *waitingRoom {
	w := &waitingRoom{
		Listener: l, places: make(chan struct{}, c.MaxConnections), shares: newShares(c.ConnectionsPerAddress, c.MaxConnections, c.Relays),
		starts: newShares(max(8, c.MaxHandshakes/8), c.MaxHandshakes, c.Relays), log: c.Log, closed: make(chan struct{}),
		free: c.MaxHandshakes, waiting: make(map[netip.Prefix][]*heldConn),
	}
	w.changed = sync.NewCond(&w.mu)
	go w.receive()
	return w
}

// receive accepts until the listener is closed.
func (w *waitingRoom) receive() {
	pause := time.Duration(0)
	for {
		select {
		case w.places <- struct{}{}:
		case <-w.closed:
			return
		}
		conn, err := w.Listener.Accept()
		if err == nil {
			pause = 0
			w.arrived(conn)
			continue
		}
		<-w.places
		if errors.Is(err, net.ErrClosed) {
			w.end(err)
			return
		}
		// Most likely there are no file descriptors left for a moment.
		pause = min(max(5*time.Millisecond, 2*pause), time.Second)
		w.log.Error("connection not accepted", slog.Any("error", err), slog.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-w.closed:
			return
		}
	}
}

func (w *waitingRoom) arrived(conn net.Conn) {
	of := holder(conn.RemoteAddr().String())
	if !w.shares.take(of) {
		_ = conn.Close() // its peer has others
		<-w.places
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		w.leave(of)
		_ = conn.Close()
		return
	}
	if len(w.waiting[of]) == 0 {
		w.turns = append(w.turns, of)
	}
	w.waiting[of] = append(w.waiting[of], &heldConn{Conn: conn, room: w, of: of})
	w.changed.Signal()
}

func (w *waitingRoom) leave(of netip.Prefix) {
	w.shares.leave(of)
	<-w.places
}

// Accept returns the next connection whose handshake may begin.
func (w *waitingRoom) Accept() (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.err != nil {
			return nil, w.err
		}
		if w.free > 0 {
			if conn := w.next(); conn != nil {
				w.free--
				return conn, nil
			}
		}
		w.changed.Wait()
	}
}

// next takes a connection of the first address in turn that has a share left.
func (w *waitingRoom) next() *heldConn {
	for i, of := range w.turns {
		if !w.starts.take(of) {
			continue
		}
		queue := w.waiting[of]
		conn := queue[0]
		w.turns = append(w.turns[:i], w.turns[i+1:]...)
		if queue = queue[1:]; len(queue) > 0 {
			w.waiting[of] = queue
			w.turns = append(w.turns, of)
		} else {
			delete(w.waiting, of)
		}
		return conn
	}
	return nil
}

// Close ends the listener, and every connection that waits.
func (w *waitingRoom) Close() error {
	w.once.Do(func() { close(w.closed) })
	err := w.Listener.Close()
	w.end(net.ErrClosed)
	return err
}

func (w *waitingRoom) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	for of, queue := range w.waiting {
		for _, conn := range queue {
			_ = conn.Conn.Close()
			w.leave(of)
		}
	}
	w.waiting, w.turns = nil, nil
	w.changed.Broadcast()
}

// settled is a server's ConnState: a connection that has a request, or is
// gone, is through with its handshake.
func settled(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if held, ok := conn.(*heldConn); ok {
		held.settled()
	}
}

// heldConn is a connection that counts in a waitingRoom.
type heldConn struct {
	net.Conn
	room *waitingRoom
	of   netip.Prefix

	start, end sync.Once
}

// settled gives back the place of the handshake.
func (c *heldConn) settled() {
	c.start.Do(func() {
		c.room.starts.leave(c.of)
		c.room.mu.Lock()
		defer c.room.mu.Unlock()
		c.room.free++
		c.room.changed.Signal()
	})
}

// Close closes the connection, once, and gives back its places.
func (c *heldConn) Close() error {
	err := c.Conn.Close()
	c.end.Do(func() {
		c.settled()
		c.room.leave(c.of)
	})
	return err
}

package httpauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

// Nonces makes the nonces of Digest challenges and sees that each is used while
// it is young and no use of it twice (RFC 7616, Section 5.5). A nonce is a time
// and a MAC over it by a key that only this process has: challenges cost no
// memory. What is remembered is the nonces that right answers were given to,
// in bounded memory: when there are too many, the older ones count as stale.
//
// A nonce of another process, or of this one before a restart, is stale.
type Nonces struct {
	key      [32]byte
	lifetime time.Duration
	size     int

	mu         sync.Mutex
	young, old map[[nonceRandom]byte]*uses // by the random part; guarded by mu
	newest     time.Time                   // when the newest nonce in young was made; guarded by mu
	oldNewest  time.Time                   // the same of old; guarded by mu
	floor      time.Time                   // nonces up to this time are stale; guarded by mu
}

// uses are the counts seen of one nonce: the highest, and which of the 64 below
// it; requests of one client may overtake each other.
type uses struct {
	highest uint32
	seen    uint64 // bit n: highest-n was seen
}

const (
	nonceTime   = 8
	nonceRandom = 16
	nonceMAC    = 16
)

// NewNonces returns a source of nonces that are good for lifetime. It remembers
// at most 2*size nonces in use.
func NewNonces(lifetime time.Duration, size int) *Nonces {
	n := &Nonces{lifetime: lifetime, size: size, young: map[[nonceRandom]byte]*uses{}}
	rand.Read(n.key[:]) // never fails (crypto/rand)
	return n
}

// New returns a nonce made at that time.
func (n *Nonces) New(at time.Time) string {
	raw := make([]byte, nonceTime+nonceRandom, nonceTime+nonceRandom+nonceMAC)
	binary.BigEndian.PutUint64(raw, uint64(at.UnixMicro())) //nolint:gosec // read back the same way
	rand.Read(raw[nonceTime:])
	return base64.RawURLEncoding.EncodeToString(append(raw, n.mac(raw)...))
}

func (n *Nonces) mac(raw []byte) []byte {
	m := hmac.New(sha256.New, n.key[:])
	m.Write(raw)
	return m.Sum(nil)[:nonceMAC]
}

// Use tells whether the nonce is one of ours, young enough, and was not used
// with that count before; then the use is remembered. Ask it once the answer
// has been found right, so that only those who know a password can fill the
// memory. False is a stale nonce: a client that answers a new one is right.
func (n *Nonces) Use(nonce string, count uint32, at time.Time) bool {
	made, id, ok := n.open(nonce)
	if !ok || count == 0 || at.Sub(made) > n.lifetime || made.Sub(at) > n.lifetime {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !made.After(n.floor) {
		return false
	}
	u := n.young[id]
	if u == nil {
		if u = n.old[id]; u == nil {
			u = &uses{}
		}
		if len(n.young) >= n.size {
			n.turn()
		}
		n.young[id] = u
		if made.After(n.newest) {
			n.newest = made
		}
	}
	return u.add(count)
}

// turn forgets the older nonces: those that are as old as the newest of them,
// or older, must not be used any more, since their uses are forgotten.
func (n *Nonces) turn() {
	var forgotten time.Time
	for id := range n.old {
		if _, kept := n.young[id]; !kept {
			forgotten = n.oldNewest
			break
		}
	}
	if forgotten.After(n.floor) {
		n.floor = forgotten
	}
	n.old, n.oldNewest = n.young, n.newest
	n.young, n.newest = make(map[[nonceRandom]byte]*uses), time.Time{}
}

func (n *Nonces) open(nonce string) (made time.Time, id [nonceRandom]byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != nonceTime+nonceRandom+nonceMAC {
		return made, id, false
	}
	body, mac := raw[:nonceTime+nonceRandom], raw[nonceTime+nonceRandom:]
	if !hmac.Equal(mac, n.mac(body)) {
		return made, id, false
	}
	copy(id[:], body[nonceTime:])
	return time.UnixMicro(int64(binary.BigEndian.Uint64(body))), id, true //nolint:gosec // written by New
}

// add notes a count; false when it was seen, or is too far behind to know.
func (u *uses) add(count uint32) bool {
	if count > u.highest {
		ahead := count - u.highest
		if ahead < 64 {
			u.seen = u.seen<<ahead | 1
		} else {
			u.seen = 1
		}
		u.highest = count
		return true
	}
	behind := u.highest - count
	if behind >= 64 || u.seen&(1<<behind) != 0 {
		return false
	}
	u.seen |= 1 << behind
	return true
}

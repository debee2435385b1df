// Package recent remembers what was stored or asked for lately, in bounded
// memory.
package recent

import "sync"

// Map is a map of bounded size: of what is neither stored nor asked for any
// more, it forgets. Its methods may be called concurrently. Make one with [New].
type Map[K comparable, V any] struct {
	size int

	mu         sync.Mutex
	young, old map[K]V // guarded by mu
}

// New returns a Map that remembers at least the newest size entries, and at
// most twice as many.
func New[K comparable, V any](size int) *Map[K, V] { return &Map[K, V]{size: size} }

// Get returns what was stored under key, unless it is forgotten.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok = m.young[key]; ok {
		return value, true
	}
	if value, ok = m.old[key]; ok {
		m.put(key, value)
	}
	return value, ok
}

// Put stores value under key.
func (m *Map[K, V]) Put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, value)
}

func (m *Map[K, V]) put(key K, value V) {
	if m.young == nil || len(m.young) >= m.size {
		m.old, m.young = m.young, map[K]V{}
	}
	m.young[key] = value
}

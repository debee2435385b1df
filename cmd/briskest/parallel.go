package main

import (
	"errors"
	"sync"
)

// atOnce is how many IDevIDs are made at once: what each waits for is the
// record of the intent, and those that wait together share a disk sync.
const atOnce = 32

// inParallel calls do for 0 to n-1. After an error no further calls begin.
func inParallel(n int, do func(i int) error) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var first error
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == n {
			return -1
		}
		next++
		return next - 1
	}
	for range min(atOnce, n) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := do(i); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

package admin

import (
	"encoding/base64"
	"fmt"
	"iter"

	"github.com/briskest/briskest/registrar"
)

// Page asks for a part of a list.
type Page struct {
	By
	Cursor string `query:"cursor" json:"-" max:"1400" doc:"next of the page before; empty for the start"`
	Limit  int    `query:"limit" json:"-" max:"10000" doc:"how many at most; 0 for 1000"`
}

// Cursor is how a list goes on.
type Cursor struct {
	Next string `json:"next,omitempty"` // cursor of the next page; empty: there is none
}

const defaultPage = 1000

// size is how many a page has at most.
func (p *Page) size() int {
	if p.Limit == 0 {
		return defaultPage
	}
	return p.Limit
}

// after is the key of the last one of the page before.
func (p *Page) after() (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", fmt.Errorf("cursor: it is none of this API's: %w", registrar.ErrInvalid)
	}
	return string(key), nil
}

// next is the cursor after a page of n with the given last key.
func (p *Page) next(n int, last string) Cursor {
	if n < p.size() {
		return Cursor{}
	}
	return Cursor{base64.RawURLEncoding.EncodeToString([]byte(last))}
}

// paged reads one page with read and returns it with its cursor. Key is what a list is in order of.
func paged[T any](p *Page, read func(after string, limit int) ([]T, error), key func(T) string) ([]T, Cursor, error) {
	after, err := p.after()
	if err != nil {
		return nil, Cursor{}, err
	}
	list, err := read(after, p.size())
	if err != nil || len(list) == 0 {
		return nil, Cursor{}, err
	}
	return list, p.next(len(list), key(list[len(list)-1])), nil
}

// pages reads a list page by page, on the client's side.
func pages[T any](read func(p Page) ([]T, Cursor, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for p := (Page{Limit: defaultPage}); ; {
			list, cursor, err := read(p)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for i := range list {
				if !yield(list[i], nil) {
					return
				}
			}
			if cursor.Next == "" {
				return
			}
			p.Cursor = cursor.Next
		}
	}
}

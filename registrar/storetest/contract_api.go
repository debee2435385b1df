package storetest

import (
	"errors"
	"testing"

	"github.com/briskest/briskest/registrar"
)

func apiToken(domain, id string) *registrar.APIToken {
	return &registrar.APIToken{Domain: domain, ID: id, Name: "n", Role: "viewer", Digest: []byte("digest"), CreatedAt: at(1), CreatedBy: "a", ExpiresAt: at(9)}
}

func testAPIRecords(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	commit(t, s, &registrar.Change{PutAPITokens: []*registrar.APIToken{apiToken(domain, "b"), apiToken(domain, "a"), apiToken("other", "c")}})
	got, err := s.APIToken(ctx, domain, "a")
	want(t, "APIToken", got, err, apiToken(domain, "a"))
	if _, err := s.APIToken(ctx, domain, "c"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("APIToken of another domain: %v", err)
	}
	list, err := s.ListAPITokens(ctx, domain, "a", 9)
	want(t, "ListAPITokens", list, err, []*registrar.APIToken{apiToken(domain, "b")})

	r := &registrar.Reply{Domain: domain, Principal: "p", Key: "k", Operation: "o", RequestHash: []byte{1}, At: at(1)}
	commit(t, s, &registrar.Change{BeginReply: r})
	if err := s.Commit(ctx, &registrar.Change{BeginReply: r}); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("a second BeginReply: %v, want ErrConflict", err)
	}
	done := *r
	done.Status, done.Body = 200, []byte("{}")
	commit(t, s, &registrar.Change{EndReply: &done})
	reply, err := s.Reply(ctx, domain, "p", "k")
	want(t, "Reply", reply, err, &done)
	for _, other := range []*registrar.Reply{{Domain: "other", Principal: "p", Key: "k"}, {Domain: domain, Principal: "q", Key: "k"}} {
		if _, err := s.Reply(ctx, other.Domain, other.Principal, other.Key); !errors.Is(err, registrar.ErrNotFound) {
			t.Errorf("Reply of %s %s: %v", other.Domain, other.Principal, err)
		}
	}
	again := *r
	again.At = r.At.Add(registrar.ReplyLifetime)
	commit(t, s, &registrar.Change{BeginReply: &again})
	done.Status = 0
	commit(t, s, &registrar.Change{EndReply: &done})
	if _, err := s.Reply(ctx, domain, "p", "k"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("Reply that was forgotten: %v", err)
	}
}

package storetest

import (
	"cmp"
	"context"

	"github.com/briskest/briskest/registrar"
)

func copyAPIToken(t *registrar.APIToken) *registrar.APIToken {
	c := *t
	c.Digest, c.CreatedAt, c.ExpiresAt = blob(t.Digest), moment(t.CreatedAt), moment(t.ExpiresAt)
	return &c
}

// replyKey names a reply.
type replyKey struct{ domain, principal, key string }

func copyReply(r *registrar.Reply) *registrar.Reply {
	c := *r
	c.RequestHash, c.Body, c.At = blob(r.RequestHash), blob(r.Body), moment(r.At)
	return &c
}

func (s *state) applyAPI(c *registrar.Change) error {
	for _, t := range c.PutAPITokens {
		s.apiTokens[name{t.Domain, t.ID}] = copyAPIToken(t)
	}
	if r := c.BeginReply; r != nil {
		id := replyKey{r.Domain, r.Principal, r.Key}
		if old := s.replies[id]; old != nil && r.At.Before(old.At.Add(registrar.ReplyLifetime)) {
			return conflict("idempotency key %s", r.Key)
		}
		s.replies[id] = copyReply(r)
	}
	if r := c.EndReply; r != nil {
		id := replyKey{r.Domain, r.Principal, r.Key}
		switch old := s.replies[id]; {
		case old == nil:
		case r.Status == 0:
			delete(s.replies, id)
		default:
			old = copyReply(old)
			old.Status, old.Body = r.Status, blob(r.Body)
			s.replies[id] = old
		}
	}
	return nil
}

// APIToken implements registrar.APIRecords.
func (m *Memory) APIToken(ctx context.Context, domain, id string) (*registrar.APIToken, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	t := s.apiTokens[name{domain, id}]
	if t == nil {
		return nil, registrar.ErrNotFound
	}
	return copyAPIToken(t), nil
}

// ListAPITokens implements registrar.APIRecords.
func (m *Memory) ListAPITokens(ctx context.Context, domain, after string, limit int) ([]*registrar.APIToken, error) {
	s, err := m.read(ctx)
	return pick(s.apiTokens, limit, func(t *registrar.APIToken) bool { return t.Domain == domain && t.ID > after },
		func(a, b *registrar.APIToken) int { return cmp.Compare(a.ID, b.ID) }, copyAPIToken), err
}

// Reply implements registrar.APIRecords.
func (m *Memory) Reply(ctx context.Context, domain, principal, key string) (*registrar.Reply, error) {
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	r := s.replies[replyKey{domain, principal, key}]
	if r == nil {
		return nil, registrar.ErrNotFound
	}
	return copyReply(r), nil
}

package stepca

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/briskest/briskest/ca/delegate"
)

// Check asks the server whether it is well, has our root, and has the
// provisioner with our key. Its error says what an operator has to mend.
func (c *CA) Check(ctx context.Context) error {
	var health struct {
		Status string `json:"status"`
	}
	if err := c.get(ctx, "/health", nil, &health); err != nil {
		return err
	}
	if health.Status != "ok" {
		return fmt.Errorf("stepca: %s says that its health is %q", c.base, c.secret.Sentence(health.Status))
	}
	var roots struct {
		PEM []string `json:"crts"`
	}
	if err := c.get(ctx, "/1.0/roots", nil, &roots); err != nil {
		return err
	}
	root := c.config.Chain[len(c.config.Chain)-1]
	if !slices.ContainsFunc(roots.PEM, func(text string) bool {
		der, err := decodePEM(text)
		return err == nil && slices.Equal(der, root.Raw)
	}) {
		return fmt.Errorf("stepca: %s has another root than %q: check the chain", c.base, root.Subject)
	}
	return c.checkProvisioner(ctx)
}

// maxPages bounds the provisioners that are looked at, 100 on each.
const maxPages = 20

func (c *CA) checkProvisioner(ctx context.Context) error {
	kind := "JWK"
	if len(c.config.Certificates) > 0 {
		kind = "X5C"
	}
	query := url.Values{"limit": {"100"}}
	for range maxPages {
		var page struct {
			Provisioners []struct {
				Type string `json:"type"`
				Name string `json:"name"`
				Key  struct {
					ID string `json:"kid"`
				} `json:"key"`
			} `json:"provisioners"`
			Next string `json:"nextCursor"`
		}
		if err := c.get(ctx, "/1.0/provisioners", query, &page); err != nil {
			return err
		}
		for _, p := range page.Provisioners {
			if p.Type == kind && p.Name == c.config.Provisioner && (kind == "X5C" || p.Key.ID == c.config.KeyID) {
				return nil
			}
		}
		if page.Next == "" {
			return fmt.Errorf("stepca: %s has no %s provisioner %q with our key (kid %q)", c.base, kind, c.config.Provisioner, c.config.KeyID)
		}
		query.Set("cursor", page.Next)
	}
	return nil // too many to look at
}

func (c *CA) get(ctx context.Context, path string, query url.Values, into any) error {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("stepca: %w", err)
	}
	a, err := delegate.Do(c.http, request, maxAnswer, c.secret)
	if err != nil {
		return fmt.Errorf("stepca: %w", err)
	}
	if a.Status/100 != 2 || json.Unmarshal(a.Body, into) != nil {
		return fmt.Errorf("stepca: %s answered %d to %s: is it a step-ca?", c.base, a.Status, path)
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/briskest/briskest/internal/cli"
)

// drainFlags say how a server is drained.
type drainFlags struct {
	For time.Duration `default:"30s" help:"How long the server answers on, while /readyz says that it should get no more; at most an hour."`
}

type registrarDrainCmd struct {
	Config string `required:"" type:"existingfile" help:"registrar.yaml; its server is drained."`
	drainFlags
}

// Run drains a registrar.
func (c *registrarDrainCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadRegistrarConfig(c.Config)
	if err != nil {
		return err
	}
	return c.drain(ctx, s, cfg.path(cfg.Listen.Admin))
}

type masaDrainCmd struct {
	Config string `required:"" type:"existingfile" help:"masa.yaml; its server is drained."`
	drainFlags
}

// Run drains a MASA.
func (c *masaDrainCmd) Run(ctx context.Context, s streams) error {
	cfg, err := loadMASAConfig(c.Config)
	if err != nil {
		return err
	}
	return c.drain(ctx, s, cfg.path(cfg.Listen.Admin))
}

// drain tells the server behind a socket, and returns at once.
func (f *drainFlags) drain(ctx context.Context, s streams, socket string) error {
	if !answers(ctx, socket) {
		return cli.Hint(fmt.Errorf("no server answers on %s", socket), "it has ended already, or listen.admin is another's")
	}
	query := url.Values{"for": {f.For.String()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server"+drainPath+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := socketClient(socket).Do(r)
	if err != nil {
		return fmt.Errorf("the admin socket: %w", err)
	}
	defer res.Body.Close()
	var answer struct {
		Error   string `json:"error"`
		StopsIn string `json:"stops_in"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&answer); err != nil {
		return fmt.Errorf("the admin socket answers %s: %w", res.Status, err)
	}
	if res.StatusCode != http.StatusAccepted {
		return errors.New(answer.Error)
	}
	_, err = fmt.Fprintf(s.Out, "draining: /readyz says no, and the server ends in %s, once it has answered what it is asked until then\n", answer.StopsIn)
	return err
}

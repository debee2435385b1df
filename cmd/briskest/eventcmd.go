package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
	"github.com/briskest/briskest/registrar/events"
)

type eventCmd struct {
	List       eventListCmd    `cmd:"" help:"List events of the trail, and which target has which."`
	Targets    eventTargetsCmd `cmd:"" help:"List the targets of the configuration, and how far each is."`
	Replay     eventReplayCmd  `cmd:"" help:"Have a target sent events again."`
	DeadLetter deadLetterCmd   `cmd:"" help:"Events that a target did not take: list, replay, drop."`
	Test       eventTestCmd    `cmd:"" help:"Send a target an event that is on no trail, and print its answer."`
	Types      eventTypesCmd   `cmd:"" help:"List the types of events."`
	Schema     eventSchemaCmd  `cmd:"" help:"Print the JSON Schema of a type of event."`
}

type eventListCmd struct {
	registrarData
	Type   string `placeholder:"PATTERN" help:"Only types like this, such as briskest.device.*."`
	Device string `placeholder:"SERIAL" help:"Only about this device: serial number or ID."`
	From   int64  `placeholder:"SEQ" help:"From this place on the trail on."`
	Limit  int    `default:"100" help:"At most so many; 1000 at most."`
	output
}

// Run lists events, oldest first.
func (c *eventListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		list, err := client.Events(ctx, registraradmin.EventList{Type: c.Type, Device: c.Device, From: c.From, Limit: c.Limit})
		if err != nil {
			return err
		}
		if c.Format == cli.JSON {
			return printEvents(s, list)
		}
		rows := make([]eventLine, 0, len(list))
		for i := range list {
			rows = append(rows, line(&list[i]))
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

// eventLine is an event in a table.
type eventLine struct {
	Seq      int64  `json:"seq"`
	Time     string `json:"time"`
	Type     string `json:"type"`
	Serial   string `json:"serial_number"`
	Reason   string `json:"reason"`
	Delivery string `json:"delivery"` // by target
}

func line(e *registraradmin.TrailEvent) eventLine {
	var event events.Event
	_ = json.Unmarshal(e.Event, &event) // ours
	row := eventLine{Seq: e.Seq, Time: event.Time, Type: event.Type}
	if d := event.Data; d != nil {
		row.Reason = d.Reason
		if d.Device != nil {
			row.Serial = d.Device.SerialNumber
		}
	}
	var where []string
	for _, r := range e.Receipts {
		where = append(where, r.Target+": delivered "+r.At.UTC().Format(time.RFC3339))
	}
	for _, l := range e.Letters {
		what := "waiting"
		if l.Dead {
			what = "dead"
		}
		where = append(where, fmt.Sprintf("%s: %s after %d tries (%s)", l.Target, what, l.Tries, l.Answer))
	}
	row.Delivery = strings.Join(where, "; ")
	return row
}

func printEvents(s streams, list []registraradmin.TrailEvent) error {
	encoder := json.NewEncoder(s.Out)
	for i := range list {
		if err := encoder.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

type eventTargetsCmd struct {
	registrarData
	output
}

// Run lists the targets.
func (c *eventTargetsCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		rows, err := client.EventTargets(ctx)
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

type eventReplayCmd struct {
	registrarData
	Target string  `arg:"" help:"The target's name in the configuration."`
	From   *int64  `placeholder:"SEQ" help:"Everything from this place on the trail on; 0 is its start."`
	Event  []int64 `placeholder:"SEQ" help:"Only this event. May be repeated."`
	output
}

// Run asks for a replay.
func (c *eventReplayCmd) Run(ctx context.Context, s streams) error {
	if c.From == nil && len(c.Event) == 0 {
		return cli.Usage("say what to replay: --from SEQ or --event SEQ; event list shows the numbers")
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		return replayed(s, c.Format, c.Target)(client.ReplayEvents(ctx, registraradmin.EventReplay{Target: c.Target, From: c.From, Seqs: c.Event}))
	})
}

// replayRow says what comes of a replay.
type replayRow struct {
	Target string `json:"target"`
	Events int    `json:"events"` // -1: all from there on
}

func replayed(s streams, format, target string) func(*registraradmin.Replayed, error) error {
	return func(r *registraradmin.Replayed, err error) error {
		if err != nil {
			return err
		}
		return cli.PrintOne(s.Out, format, replayRow{target, r.Events})
	}
}

type deadLetterCmd struct {
	List   deadLetterListCmd   `cmd:"" help:"List dead letters."`
	Replay deadLetterReplayCmd `cmd:"" help:"Have dead letters sent again, with all tries before them."`
	Drop   deadLetterDropCmd   `cmd:"" help:"Give dead letters up."`
}

type deadLetterListCmd struct {
	registrarData
	Target string `help:"Only of this target."`
	Device string `placeholder:"SERIAL" help:"Only about this device: serial number or ID."`
	From   int64  `placeholder:"SEQ" help:"From this place on the trail on."`
	Limit  int    `default:"1000" help:"At most so many; 10000 at most."`
	output
}

// Run lists dead letters.
func (c *deadLetterListCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		rows, err := client.DeadLetters(ctx, registraradmin.DeadLetterList{Target: c.Target, Device: c.Device, From: c.From, Limit: c.Limit})
		if err != nil {
			return err
		}
		return cli.PrintList(s.Out, c.Format, rows)
	})
}

// deadLetterArgs name dead letters.
type deadLetterArgs struct {
	Target string  `arg:"" help:"The target's name in the configuration."`
	Event  []int64 `placeholder:"SEQ" help:"Only this event. May be repeated."`
	Device string  `placeholder:"SERIAL" help:"Only about this device: serial number or ID."`
	All    bool    `help:"All of the target; 10000 at a time."`
}

func (a *deadLetterArgs) replay(drop bool) (registraradmin.EventReplay, error) {
	given := 0
	for _, one := range []bool{len(a.Event) > 0, a.Device != "", a.All} {
		if one {
			given++
		}
	}
	if given != 1 {
		return registraradmin.EventReplay{}, cli.Usage("say which dead letters: one of --event SEQ, --device SERIAL and --all")
	}
	return registraradmin.EventReplay{Target: a.Target, Seqs: a.Event, Device: a.Device, Dead: len(a.Event) == 0, Drop: drop}, nil
}

type deadLetterReplayCmd struct {
	registrarData
	deadLetterArgs
	output
}

// Run has dead letters sent again.
func (c *deadLetterReplayCmd) Run(ctx context.Context, s streams) error {
	r, err := c.replay(false)
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		return replayed(s, c.Format, c.Target)(client.ReplayEvents(ctx, r))
	})
}

type deadLetterDropCmd struct {
	registrarData
	deadLetterArgs
	output
}

// Run gives dead letters up.
func (c *deadLetterDropCmd) Run(ctx context.Context, s streams) error {
	r, err := c.replay(true)
	if err != nil {
		return err
	}
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		return replayed(s, c.Format, c.Target)(client.ReplayEvents(ctx, r))
	})
}

type eventTestCmd struct {
	registrarData
	Target string `arg:"" help:"The target's name in the configuration."`
	output
}

// Run sends one event.
func (c *eventTestCmd) Run(ctx context.Context, s streams) error {
	return c.operate(ctx, s, func(client *registraradmin.Client) error {
		row, err := client.TestEvent(ctx, c.Target)
		if err != nil {
			return cli.Hint(err, "the target's url, credentials and tls_anchors are in the configuration; event targets shows how it is doing")
		}
		return cli.PrintOne(s.Out, c.Format, row)
	})
}

type eventTypesCmd struct{ output }

// eventTypeRow is a type of event.
type eventTypeRow struct {
	Type string   `json:"type"`
	Data []string `json:"data"` // members that are always there
	Text string   `json:"text"`
}

// Run lists the types.
func (c *eventTypesCmd) Run(_ context.Context, s streams) error {
	types := events.Types()
	rows := make([]eventTypeRow, 0, len(types))
	for _, t := range types {
		rows = append(rows, eventTypeRow{t.Name, append([]string{"domain"}, t.Members[:t.Required]...), t.Text})
	}
	return cli.PrintList(s.Out, c.Format, rows)
}

type eventSchemaCmd struct {
	Type string `arg:"" optional:"" help:"The type, such as briskest.device.enrolled.v1; without one, all in a JSON array."`
}

// Run prints schemas.
func (c *eventSchemaCmd) Run(_ context.Context, s streams) error {
	if c.Type != "" {
		t := events.TypeNamed(c.Type)
		if t == nil {
			return cli.Hint(cli.NotFound("there is no type of event %q", c.Type), "briskest event types lists them")
		}
		_, err := s.Out.Write(t.Schema())
		return err
	}
	var all []json.RawMessage
	for _, t := range events.Types() {
		all = append(all, slices.Clip(t.Schema()))
	}
	out, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, string(out))
	return err
}

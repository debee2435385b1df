package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Options of a comparison.
type Options struct {
	Op       *Op
	Requests int // a run
	Clients  int
	Rounds   int // alternating runs of each side
	Progress func(text string)
}

// wallClients is how many clients the wall-clock comparison uses.
const wallClients = 32

// Pair is the median of the runs on both sides, and their ratio.
type Pair struct {
	Ratio float64 `json:"ratio"` // median of the rounds' ratios
	Ours  *Run    `json:"registrar"`
	Floor *Run    `json:"floor"`
}

// Comparison is the result of Compare. Ratios of fresh and kept are CPU time
// of ours over the floor's; those of wall are throughput of ours over the
// floor's with 32 clients.
type Comparison struct {
	Op       string `json:"op"`
	Requests int    `json:"requests"`
	Clients  int    `json:"clients"`
	Rounds   int    `json:"rounds"`
	Fresh    Pair   `json:"fresh"`
	Kept     *Pair  `json:"kept,omitempty"`
	Wall     Pair   `json:"wall"`                // fresh connections
	WallKept *Pair  `json:"wall_kept,omitempty"` // kept connections
	FloorIs  string `json:"floor_is"`
}

// Compare measures ours against the floor, alternating, and reports medians.
func Compare(ctx context.Context, ours, floor *Target, o Options) (*Comparison, error) {
	c := &Comparison{Op: o.Op.Name, Requests: o.Requests, Clients: o.Clients, Rounds: o.Rounds, FloorIs: o.Op.FloorIs}
	if o.Op.Kept {
		c.Kept, c.WallKept = &Pair{}, &Pair{}
	}
	for _, part := range []struct {
		name  string
		load  Load
		into  *Pair
		ratio func(ours, floor *Run) float64
	}{
		{"fresh connections", Load{o.Requests, o.Clients, true}, &c.Fresh, cpuRatio},
		{"kept connections", Load{o.Requests, o.Clients, false}, c.Kept, cpuRatio},
		{"wall clock, fresh", Load{o.Requests, wallClients, true}, &c.Wall, wallRatio},
		{"wall clock, kept", Load{o.Requests, wallClients, false}, c.WallKept, wallRatio},
	} {
		if part.into == nil {
			continue
		}
		if err := alternate(ctx, ours, floor, part.load, o, part.name, part.ratio, part.into); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return c, nil
}

func alternate(ctx context.Context, ours, floor *Target, l Load, o Options, name string, ratio func(ours, floor *Run) float64, into *Pair) error {
	warm := Load{Requests: min(l.Requests, 4*l.Clients), Clients: l.Clients, Fresh: l.Fresh}
	var a, b []*Run
	var ratios []float64
	for round := range o.Rounds {
		if round == 0 {
			for _, t := range []*Target{floor, ours} {
				if _, err := Measure(ctx, o.Op, t, warm); err != nil {
					return err
				}
			}
		}
		f, err := Measure(ctx, o.Op, floor, l)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		r, err := Measure(ctx, o.Op, ours, l)
		if err != nil {
			return fmt.Errorf("registrar: %w", err)
		}
		a, b, ratios = append(a, r), append(b, f), append(ratios, ratio(r, f))
		if o.Progress != nil {
			o.Progress(fmt.Sprintf("%s, round %d of %d: registrar %.0f us CPU, %.0f/s; floor %.0f us CPU, %.0f/s", name, round+1, o.Rounds, r.CPU, r.Throughput, f.CPU, f.Throughput))
		}
	}
	slices.Sort(ratios)
	*into = Pair{Ratio: ratios[len(ratios)/2], Ours: median(a), Floor: median(b)}
	return nil
}

func cpuRatio(ours, floor *Run) float64  { return ours.CPU / floor.CPU }
func wallRatio(ours, floor *Run) float64 { return ours.Throughput / floor.Throughput }

// median takes the median of each figure by itself.
func median(runs []*Run) *Run {
	pick := func(of func(*Run) float64) float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = of(r)
		}
		slices.SortFunc(values, cmp.Compare)
		return values[len(values)/2]
	}
	return &Run{
		Throughput: pick(func(r *Run) float64 { return r.Throughput }),
		P50:        pick(func(r *Run) float64 { return r.P50 }),
		P99:        pick(func(r *Run) float64 { return r.P99 }),
		CPU:        pick(func(r *Run) float64 { return r.CPU }),
	}
}

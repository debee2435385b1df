package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows on a terminal how far a long command is. Elsewhere it is silent.
type progress struct {
	out     io.Writer // nil where there is no terminal
	total   int       // rows; 0 while it is not known
	started time.Time
	shown   bool // a line is on the screen
}

func newProgress(out io.Writer) progress {
	p := progress{started: time.Now()}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.out = out
		}
	}
	return p
}

// show replaces the line by one about this many rows.
func (p *progress) show(checking bool, rows int) {
	if p.out == nil {
		return
	}
	p.shown = true
	if checking {
		fmt.Fprintf(p.out, "\r\x1b[K%d rows checked", rows)
		return
	}
	fmt.Fprintf(p.out, "\r\x1b[K%d of %d rows imported (%d %%), %s", rows, p.total, rows*100/max(p.total, 1),
		time.Since(p.started).Round(time.Second))
}

// end goes to a new line, so that something else can be printed.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
		p.shown = false
	}
}

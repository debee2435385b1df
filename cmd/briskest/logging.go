package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/briskest/briskest/internal/tracing"
)

// newLog makes the logger a configuration asks for.
func newLog(c logConfig, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if c.Level != "" {
		if err := level.UnmarshalText([]byte(c.Level)); err != nil {
			return nil, fmt.Errorf("log.level is %q; it may be debug, info, warn or error", c.Level)
		}
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.Format {
	case "", "json":
		return slog.New(tracing.Log(slog.NewJSONHandler(w, options))), nil
	case "text":
		return slog.New(tracing.Log(slog.NewTextHandler(w, options))), nil
	default:
		return nil, fmt.Errorf("log.format is %q; it may be json or text", c.Format)
	}
}

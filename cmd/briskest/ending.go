package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"
)

// watched is a certificate of ours whose end somebody has to look after.
type watched struct {
	role string
	cert *x509.Certificate
	do   string // what to do about it
}

// The states of a certificate.
const (
	stateGood  = "good"
	stateSoon  = "ends soon"
	stateEnded = "ended"
	stateEarly = "not valid yet"
)

// stateOf says how a certificate stands. Soon is the last tenth of its life.
func stateOf(c *x509.Certificate, now time.Time) string {
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return stateEarly
	case left < 0:
		return stateEnded
	case left < c.NotAfter.Sub(c.NotBefore)/10:
		return stateSoon
	default:
		return stateGood
	}
}

// watchPeriod is how often a server looks whether something of its own is about
// to end.
const watchPeriod = 24 * time.Hour

// reportEnding logs what has ended or soon will, and what to do.
func reportEnding(ctx context.Context, log *slog.Logger, certificates []watched, now time.Time) {
	for _, w := range certificates {
		state := stateOf(w.cert, now)
		level := slog.LevelError
		switch state {
		case stateGood:
			continue
		case stateSoon:
			level = slog.LevelWarn
		}
		log.LogAttrs(ctx, level, "a certificate of this server needs renewal", slog.String("certificate", w.role), slog.String("state", state),
			slog.String("subject", w.cert.Subject.String()), slog.Time("not_after", w.cert.NotAfter), slog.String("hint", w.do))
	}
}

// What to do about certificates.
const (
	renewCA        = "briskest ca renew --dir FOLDER, where the root's key is; else briskest ca csr, certify and install; then SIGHUP"
	renewRegistrar = "briskest registrar renew --config registrar.yaml, then SIGHUP"
	renewMASA      = "briskest masa renew --config masa.yaml, then SIGHUP"
	endOfOld       = "nothing: it was replaced, and is handed out while it lasts"
)

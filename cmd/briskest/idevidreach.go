package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/briskest/briskest/brski"
	"github.com/briskest/briskest/voucher"
	"github.com/briskest/briskest/voucher/vouchercms"
)

// masa asks the MASA that an IDevID names whether it is there, each URL once
// (RFC 8995, Section 9.1.1).
func (l *imageLint) masa(ctx context.Context, leaf *x509.Certificate, report func(string, ...any)) {
	url, err := voucher.MASAURL(leaf)
	if l.masaAnchors == nil || err != nil {
		return
	}
	if _, asked := l.masas[url]; !asked {
		l.masas[url] = askMASA(ctx, url, l.masaAnchors)
	}
	if err := l.masas[url]; err != nil {
		report("no MASA answers at %s, which the IDevID names: %v", url, err)
	}
}

// askMASA makes a voucher-request that is none. A MASA says that it is none, and
// nothing is issued.
func askMASA(ctx context.Context, url string, anchors *x509.CertPool) error {
	client := &brski.MASAClient{URL: url, Roots: anchors, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	_, err := client.RequestVoucher(ctx, &brski.MASARequest{
		MediaType: vouchercms.MediaType, Raw: []byte("is anybody there?"), Accept: []string{vouchercms.MediaType},
	})
	var refusal *brski.MASAError
	switch {
	case err == nil:
		return errors.New("it takes what is no voucher-request")
	case errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest:
		return nil
	case errors.As(err, &refusal) && refusal.Status != 0:
		return fmt.Errorf("it answers %d where a MASA answers 400", refusal.Status)
	default:
		return err
	}
}

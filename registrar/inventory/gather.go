package inventory

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/briskest/briskest/internal/rows"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/voucher"
)

// gathering makes batches of the rows of a file.
type gathering struct {
	im     *Importer
	source *source
	format string
	seen   map[[16]byte]struct{} // as run has it; nil when the file was checked
	rows   int                   // so far
}

// run sends the batches, and closes the channel behind the last one, or behind one
// that has an error. It ends early when ctx does.
func (g *gathering) run(ctx context.Context, made chan<- *batch) {
	defer close(made)
	for {
		b, end := g.batch()
		if b == nil {
			return
		}
		select {
		case made <- b:
		case <-ctx.Done():
			return
		}
		if end {
			return
		}
	}
}

// batch is the next one; nil when there is none, and end when it is the last.
func (g *gathering) batch() (b *batch, end bool) {
	b = &batch{first: g.rows + 1}
	for b.leaves < BatchRows {
		row, err := g.source.next()
		if errors.Is(err, io.EOF) {
			end = true
			break
		}
		if err == nil {
			err = g.add(b, row)
		}
		if err != nil {
			return &batch{err: err}, true
		}
	}
	if b.leaves == 0 {
		return nil, true
	}
	b.root = b.edge.Root()
	return b, end
}

// add parses a row. What is wrong with it is a problem, and no error.
func (g *gathering) add(b *batch, row *rows.Row) error {
	if g.rows++; g.rows > MaxRows {
		return fmt.Errorf("more than %d rows; divide the file", MaxRows)
	}
	b.edge.Append(Row(row.Fields))
	b.leaves++
	d, err := device(row, g.format)
	if maker, ok := row.Fields[columnManufacturer]; ok && err == nil && maker != g.im.Manufacturer && unguarded(maker) != g.im.Manufacturer {
		err = fmt.Errorf("is of the manufacturer %.64q, not %q", maker, g.im.Manufacturer)
	}
	if d.Owner == nil {
		d.Owner = g.im.Owner
	}
	if err == nil && g.seen != nil {
		err = g.once(&d)
	}
	if err != nil {
		b.problems = append(b.problems, Problem{row.Line, d.SerialNumber, err.Error()})
		return nil // the others of the batch are checked without it
	}
	b.devices, b.lines = append(b.devices, d), append(b.lines, row.Line)
	return nil
}

// once tells whether the serial number was there before.
func (g *gathering) once(d *registrar.ImportDevice) error {
	serial := d.SerialNumber
	if serial == "" && d.IDevID != nil {
		cert, err := x509.ParseCertificate(d.IDevID)
		if err != nil {
			return fmt.Errorf("has an IDevID that cannot be read: %w", err)
		}
		if serial, err = voucher.SerialNumber(cert); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(serial))
	key := [16]byte(sum[:])
	if _, twice := g.seen[key]; twice && serial != "" {
		return errors.New("is there twice")
	}
	g.seen[key] = struct{}{}
	return nil
}

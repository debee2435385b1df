package rows_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/briskest/briskest/internal/rows"
)

func columns() []string { return []string{"serial_number", "batch", "idevid"} }

// read returns the rows as text.
func read(in io.Reader) (string, error) {
	r, err := rows.NewReader(in, columns(), "idevid")
	if err != nil {
		return "", err
	}
	var out []string
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, "; "), nil
		}
		if err != nil {
			return strings.Join(out, "; "), err
		}
		out = append(out, fmt.Sprintf("%d%v", row.Line, row.Fields))
	}
}

func TestRowsAreReadInEveryFormWithTheirLines(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"Heading":    {"serial_number,batch\na,1\n\n# note\n\"b\",2\nc\n", "2map[batch:1 serial_number:a]; 5map[batch:2 serial_number:b]; 6map[serial_number:c]"},
		"OtherOrder": {"Batch, Serial_Number\r\n1,a\r\n,b", "2map[batch:1 serial_number:a]; 3map[serial_number:b]"},
		"NoHeading":  {"a\nb\n", "1map[serial_number:a]; 2map[serial_number:b]"},
		"Mark":       {"\xef\xbb\xbfa\n", "1map[serial_number:a]"},
		"Multiline":  {"serial_number,idevid\na,\"x\ny\"\nb,z\n", "2map[idevid:x\ny serial_number:a]; 4map[idevid:z serial_number:b]"},
		"JSON":       {"{\"serial_number\":\"a\",\"batch\":null}\n\n{\"serial_number\":\"b\",\"batch\":\"\\u0041\"}", "1map[serial_number:a]; 3map[batch:A serial_number:b]"},
		"PEM": {"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\nnote\n-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----",
			"1map[idevid:-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----]; 5map[idevid:-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(strings.NewReader(c.in))
			if got = strings.ReplaceAll(got, "-----\n]", "-----]"); err != nil || got != c.want {
				t.Errorf("rows = %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestBadRowsAreNamedByTheirLine(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"UnknownColumn":  {"serial_number,colour\na,red\n", "line 1: no column"},
		"ColumnTwice":    {"batch,batch\n1,1\n", "line 1: column"},
		"TooManyFields":  {"serial_number\na\nb,1\n", "line 3: 2 fields"},
		"FieldsNoTitles": {"a,1\n", "line 1: 2 fields"},
		"Quote":          {"serial_number\na\n\"b\nc\n", "line 3: "},
		"Array":          {"[{}]", "jq -c"},
		"Empty":          {"", "empty"},
		"CommentsAlone":  {"# nothing\n", "no row"},
		"Member":         {"{\"serial_number\":\"a\"}\n{\"colour\":\"red\"}\n", "line 2: no member"},
		"Number":         {"{\"serial_number\":1}\n", "line 1: member"},
		"Twice":          {"{\"batch\":\"a\",\"batch\":\"b\"}\n", "line 1: "},
		"Cut":            {"{\"serial_number\":\"a\"}\n{\"batch\":\n", "line 2: "},
		"EndOfPEM":       {"-----BEGIN CERTIFICATE-----\nAA==\n", "line 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := read(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("rows = %q, error %v, want one with %q", got, err, c.want)
			}
		})
	}
	if _, err := rows.NewReader(strings.NewReader("-----BEGIN CERTIFICATE-----\n"), columns(), ""); err == nil {
		t.Error("NewReader took PEM where there is no column for it")
	}
}

// endless is a row without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestEndlessRowIsGivenUp(t *testing.T) {
	for _, start := range []string{"", "serial_number\n\"", "{\"serial_number\":\"", "-----BEGIN CERTIFICATE-----\n"} {
		e := &endless{}
		if _, err := read(io.MultiReader(strings.NewReader(start), e)); err == nil || e.read > 3*rows.MaxRow {
			t.Errorf("after %q: %d bytes read, error %v; want an error within %d", start, e.read, err, 3*rows.MaxRow)
		}
	}
}

func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		"serial_number,batch\na,1\n", "a\nb\n", "{\"serial_number\":\"a\"}\n", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := rows.NewReader(strings.NewReader(in), columns(), "idevid")
		for last := 0; err == nil; {
			var row *rows.Row
			if row, err = r.Next(); err == nil {
				if row.Line <= last {
					t.Fatalf("line %d after %d", row.Line, last)
				}
				last = row.Line
			}
		}
	})
}

package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Formats are the values of the -o flag.
const (
	Table = "table"
	JSON  = "json"
	CSV   = "csv"
)

// maxShown is how many bytes a table shows of a binary value.
const maxShown = 32

// PrintList prints rows, each a struct with json tags: as a table with a
// heading, as JSON lines, or as CSV with a heading.
func PrintList[T any](w io.Writer, format string, rows []T) error {
	if format == JSON {
		enc := json.NewEncoder(w)
		for _, row := range rows {
			if err := enc.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
	heading, lines := columns(rows, format)
	if format == CSV {
		out := csv.NewWriter(w)
		if err := out.WriteAll(append([][]string{heading}, lines...)); err != nil {
			return err
		}
		return out.Error()
	}
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i, name := range heading {
		heading[i] = strings.ToUpper(strings.ReplaceAll(name, "_", " "))
	}
	for _, line := range append([][]string{heading}, lines...) {
		fmt.Fprintln(out, strings.Join(line, "\t"))
	}
	return out.Flush()
}

// PrintOne prints one struct with json tags: as lines "key: value", as one
// JSON object, or as CSV of one row.
func PrintOne[T any](w io.Writer, format string, row T) error {
	switch format {
	case JSON:
		return json.NewEncoder(w).Encode(row)
	case CSV:
		return PrintList(w, CSV, []T{row})
	}
	heading, lines := columns([]T{row}, format)
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i, name := range heading {
		if lines[0][i] != "" {
			fmt.Fprintf(out, "%s:\t%s\n", strings.ReplaceAll(name, "_", " "), lines[0][i])
		}
	}
	return out.Flush()
}

// columns flattens the exported fields of each row to text, in order.
func columns[T any](rows []T, format string) (heading []string, lines [][]string) {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var fields []int
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields = append(fields, i)
			heading = append(heading, name)
		}
	}
	for _, row := range rows {
		v := reflect.Indirect(reflect.ValueOf(row))
		line := make([]string, len(fields))
		for j, i := range fields {
			line[j] = cell(v.Field(i), format)
		}
		lines = append(lines, line)
	}
	return heading, lines
}

// cell prints one value on one line; control characters of peers do not reach the terminal.
// A table names the size of what is too long to read.
func cell(v reflect.Value, format string) string {
	if v.IsZero() && v.Kind() != reflect.Bool && !v.CanInt() {
		return ""
	}
	if raw, ok := v.Interface().([]byte); ok && format == Table && len(raw) > maxShown {
		return fmt.Sprintf("(%d bytes)", len(raw))
	}
	text := fmt.Sprint(v.Interface())
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct, reflect.Pointer:
		if data, err := json.Marshal(v.Interface()); err == nil {
			text = strings.Trim(string(data), `"`)
		}
	}
	return Printable(text)
}

// Printable returns s with what a terminal would act on replaced by "?".
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// Note prints a line for a person beside a command's output; what is in args is made printable.
func Note(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, Printable(fmt.Sprintf(format, args...)))
}

// Package config reads a program's one YAML file: strictly, with single keys
// overridden by environment variables and paths relative to the file.
package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/briskest/briskest/internal/pkcs11uri"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Load is [Read] and then [Parse].
func Load(path, prefix string, into any) error {
	data, err := Read(path)
	if err != nil {
		return err
	}
	return Parse(path, data, prefix, into)
}

// Read returns the content of a configuration file, which must be a regular
// file of at most 1 MiB.
func Read(path string) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("configuration: %s is not a regular file", path)
	case st.Size() > maxFile:
		return nil, fmt.Errorf("configuration: %s is %d bytes, more than the %d a configuration may have", path, st.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// Parse decodes data, the content of the YAML file at path, into the struct
// that into points to. A key that the struct does not have, or one given twice,
// is an error naming line and column. Then each scalar key a.b of the struct is
// replaced by the environment variable PREFIX_A_B where that is set. Keys below
// lists and maps have no variable.
func Parse(path string, data []byte, prefix string, into any) error {
	if err := Decode(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return override(reflect.ValueOf(into).Elem(), prefix)
}

// Decode decodes one YAML document strictly into the struct that into points to.
func Decode(data []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict(), yaml.DisallowUnknownField())
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s", strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	return nil
}

// override walks the scalar fields of v and replaces those whose variable is set.
func override(v reflect.Value, prefix string) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		variable := prefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		fv := v.Field(i)
		if fv.Kind() == reflect.Struct {
			if err := override(fv, variable); err != nil {
				return err
			}
			continue
		}
		if fv.Kind() == reflect.Slice || fv.Kind() == reflect.Map || fv.Kind() == reflect.Pointer {
			continue
		}
		value, ok := os.LookupEnv(variable)
		if !ok {
			continue
		}
		if err := set(fv, value); err != nil {
			return fmt.Errorf("environment variable %s: %w", variable, err)
		}
	}
	return nil
}

func set(fv reflect.Value, value string) error {
	if fv.Kind() == reflect.String {
		fv.SetString(value)
		return nil
	}
	return yaml.Unmarshal([]byte(value), fv.Addr().Interface())
}

// Relative returns path as seen from the folder of the configuration file.
// Absolute and empty paths stay as they are.
func Relative(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// RelativeURI resolves the path of a "file:" key URI as Relative does, and that
// of a pkcs11: URI's PIN, and leaves every other URI alone.
func RelativeURI(file, uri string) string {
	if u, err := pkcs11uri.Parse(uri); err == nil && u.PINSource != "" {
		u.PINSource = Relative(file, u.PINSource)
		return u.String()
	}
	path, ok := strings.CutPrefix(uri, "file:")
	if !ok {
		return uri
	}
	return "file:" + Relative(file, path)
}

// Encode writes a value as YAML, as Decode reads it.
func Encode(value any) ([]byte, error) { return yaml.Marshal(value) }

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/briskest/briskest/internal/config"
)

// Bounds of what a backup takes beside the database.
const (
	maxBackedFile  = 16 << 20 // bytes of one file
	maxBackedFiles = 10_000
)

// named are the files that a configuration names, and those that they name.
type named struct {
	home    string
	seen    map[string]bool // below home, with slashes
	outside []string
}

func (n *named) sorted() []string { return slices.Sorted(maps.Keys(n.seen)) }

// document notes a YAML file and every file and folder that a text in it names.
func (n *named) document(file string) error {
	data, err := config.Read(file)
	if err != nil {
		return err
	}
	if err := n.add(file); err != nil {
		return err
	}
	var content any
	if err := config.Decode(data, &content); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return n.value(file, content)
}

func (n *named) value(of string, v any) error {
	switch x := v.(type) {
	case string:
		return n.text(of, x)
	case []any:
		for _, e := range x {
			if err := n.value(of, e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range x {
			if err := n.value(of, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// text looks whether a text is the name of a file or folder, or the URI of a key in one.
func (n *named) text(of, text string) error {
	path, isKey := strings.CutPrefix(text, "file:")
	if path = strings.TrimPrefix(path, "//"); path == "" || strings.ContainsAny(path, "\n\x00") || len(path) > 1024 {
		return nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(of), filepath.FromSlash(path))
	}
	st, err := os.Stat(path)
	switch {
	case err != nil: // no file
		if isKey {
			n.outside = append(n.outside, text)
		}
		return nil
	case st.IsDir():
		return n.folder(path)
	case !st.Mode().IsRegular():
		return nil // a socket
	}
	if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" {
		if rel, err := below(n.home, path); err == nil && !n.seen[rel] {
			return n.document(path)
		}
	}
	return n.add(path)
}

// folder notes what is in the folder of a CA, which has a ca.yaml.
func (n *named) folder(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, caFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := below(n.home, dir); err != nil {
		n.outside = append(n.outside, dir)
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := n.text(filepath.Join(dir, caFile), e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (n *named) add(path string) error {
	rel, err := below(n.home, path)
	if err != nil {
		n.outside = append(n.outside, path)
		return nil //nolint:nilerr // it is told
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() > maxBackedFile {
		if !isDatabase(path) {
			n.outside = append(n.outside, rel)
		}
		return nil
	}
	if len(n.seen) == maxBackedFiles {
		return fmt.Errorf("the configuration names more than %d files", maxBackedFiles)
	}
	if !isDatabase(path) {
		n.seen[rel] = true
	}
	return nil
}

// isDatabase tells SQLite's files by how they begin: they are copied otherwise.
func isDatabase(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	start := make([]byte, 16)
	_, err = io.ReadFull(f, start)
	return err == nil && string(start) == "SQLite format 3\x00"
}

// archived is a file of a tar file.
type archived struct {
	name string
	data []byte
}

func archiveOf(files []archived) ([]byte, error) {
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, f := range files {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o600, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := out.Write(f.data); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), out.Close()
}

// archiveIn reads what archiveOf wrote.
func archiveIn(data []byte) (files []archived, err error) {
	in := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || h.Size > int64(len(data)) || len(files) == maxBackedFiles {
			return nil, fmt.Errorf("%q does not belong there", h.Name)
		}
		content := make([]byte, h.Size)
		if _, err := io.ReadFull(in, content); err != nil {
			return nil, err
		}
		files = append(files, archived{h.Name, content})
	}
}

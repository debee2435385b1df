package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/testbed"
)

// tarred is a file of an archive.
type tarred struct {
	name string
	data []byte
}

func untar(t *testing.T, path string) (out []tarred) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tarred{h.Name, data})
	}
}

func tarOf(t *testing.T, path string, files []tarred) {
	t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o444, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// evidenceOf has a device of a quickstart live through what leaves records, and writes its archive and the trail's key.
func evidenceOf(t *testing.T) (archive, key string) {
	t.Helper()
	bed := testbed.Once(t)
	dir := t.TempDir()
	config := filepath.Join(bed.Dir, "registrar.yaml")
	document := filepath.Join(dir, "baseline.json")
	if err := os.WriteFile(document, []byte(`{"schema":1,"settings":{"ntp":["ntp.example"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	server := bed.Registrar(t)
	pledge := func(name string) string { return filepath.Join(bed.Dir, "pledge", name) }
	archive, key = filepath.Join(dir, "evidence.tar"), filepath.Join(dir, "trail.pub")
	for _, args := range [][]string{
		{"baseline", "apply", document, "--config", config},
		{"est", "baseline", "--url", bed.EST, "--ca", filepath.Join(bed.Dir, "ca.pem"), "--cert", pledge("ldevid.pem"), "--key", pledge("ldevid.key"), "--out", filepath.Join(dir, "got.json")},
		{"quarantine", "place", "--device", "WIDGET-0001", "--reason", "a recall", "--config", config},
		{"device", "suspend", "WIDGET-0001", "--config", config},
		{"device", "evidence", "WIDGET-0001", "--config", config, "-o", archive},
	} {
		if out, errs, code := testbed.Run(t, bed.Program, args...); code != 0 {
			t.Fatalf("briskest %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
	}
	public, errs, code := testbed.Run(t, bed.Program, "trail", "key", "--config", config)
	if code != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(key, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	return archive, key
}

// Issue 6, point 7: the archive that the program wrote of a device with all that there is of one, its baseline included, does
// not verify when any file of it is changed, removed, added, renamed or at another place. Each byte is held in registrar/evidence.
func TestTheArchiveOfADeviceHoldsOnlyAsItWasWritten(t *testing.T) {
	archive, key := evidenceOf(t)
	verify := func(path string) error {
		var out bytes.Buffer
		return run(t.Context(), []string{"evidence", "verify", path, "--key", key}, streams{In: strings.NewReader(""), Out: &out, Err: &out})
	}
	files := untar(t, archive)
	changed := filepath.Join(t.TempDir(), "changed.tar")
	tarOf(t, changed, files)
	if err := verify(changed); err != nil {
		t.Fatalf("packed again as it was: %v", err)
	}
	tried := 0
	broken := func(what string, files []tarred) {
		t.Helper()
		tried++
		tarOf(t, changed, files)
		if err := verify(changed); err == nil {
			t.Errorf("the evidence holds with %s", what)
		}
	}
	kinds := map[string]int{}
	for i, f := range files {
		kind, _, _ := strings.Cut(f.name, "/")
		if parts := strings.Split(f.name, "-"); kind == "records" && len(parts) > 1 {
			kind += " of " + strings.TrimSuffix(strings.TrimSuffix(parts[1], ".bin"), ".json")
		}
		kinds[kind]++
		with := func(data []byte) []tarred {
			all := slices.Clone(files)
			all[i].data = data
			return all
		}
		data := bytes.Clone(f.data)
		data[len(data)/2] ^= 1
		broken(f.name+" changed", with(data))
		broken(f.name+" removed", slices.Delete(slices.Clone(files), i, i+1))
		broken("a file more behind "+f.name, slices.Insert(slices.Clone(files), i+1, tarred{f.name + "0", []byte("x")}))
		renamed := slices.Clone(files)
		renamed[i].name += "x"
		broken(f.name+" renamed", renamed)
		if i > 0 {
			moved := slices.Clone(files)
			moved[i], moved[i-1] = moved[i-1], moved[i]
			broken(f.name+" before its place", moved)
		}
	}
	t.Logf("%d changes to %d files: %v", tried, len(files), kinds)
	text := fmt.Sprint(kinds)
	for _, kind := range []string{"records of baseline", "records of devices", "records of vouchers", "records of issuances", "artifacts", "entries"} {
		if !strings.Contains(text, kind) {
			t.Errorf("the archive has no %s: %s", kind, text)
		}
	}
}

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ownFile is a file of a deployment.
type ownFile struct {
	path   string
	secret bool // a key, a password or records: for its owner alone
}

// keyFile is the file of a keystore URI; empty for a key in a token.
func (s *source) keyFile(uri string) string {
	resolved := s.uri(uri)
	if strings.HasPrefix(resolved, "pkcs11:") {
		return ""
	}
	return strings.TrimPrefix(strings.TrimPrefix(resolved, "file:"), "//")
}

// registrarFiles are a registrar's keys and records.
func (c *registrarConfig) registrarFiles() []ownFile {
	files := []ownFile{{c.file, false}, {c.path(c.Store), true}}
	for _, uri := range c.keys() {
		files = append(files, ownFile{c.keyFile(uri), true})
	}
	for i := range c.Issuers {
		if local := c.Issuers[i].Local; local != nil && local.Folder != "" {
			files = append(files, ownFile{c.path(local.Folder), false})
		}
	}
	return files
}

// masaFiles are a MASA's.
func (c *masaConfig) masaFiles() []ownFile {
	files := []ownFile{{c.file, false}, {c.path(c.Store), true}, {c.keyFile(c.TrailKey), true}}
	for _, id := range c.identities() {
		files = append(files, ownFile{c.keyFile(id.Key), true})
	}
	return files
}

// Permission bits of others.
const (
	otherUsers  fs.FileMode = 0o077
	writeOthers fs.FileMode = 0o022
)

// files looks at who else may read keys and records, and write what the servers read.
func (d *doctor) files(files []ownFile) {
	wrong := 0
	for _, f := range files {
		if f.path == "" {
			continue
		}
		info, err := os.Stat(f.path)
		if err != nil { // the configuration's loading tells, or there is nothing yet
			continue
		}
		if mode := info.Mode().Perm(); f.secret && mode&otherUsers != 0 {
			wrong++
			d.add(gradeBad, "files.secret", "chmod 600 "+f.path+"; when strangers can log in here, make the key anew", "others may read or write %s (mode %o)", f.path, mode)
		} else if mode&writeOthers != 0 {
			wrong++
			d.add(gradeBad, "files.writable", "chmod go-w "+f.path, "others may write %s (mode %o)", f.path, mode)
		}
		if dir, err := os.Stat(filepath.Dir(f.path)); err == nil && dir.Mode().Perm()&writeOthers != 0 && dir.Mode()&fs.ModeSticky == 0 {
			wrong++
			d.add(gradeBad, "files.folder", "chmod go-w "+filepath.Dir(f.path), "others may replace files in %s", filepath.Dir(f.path))
		}
	}
	if wrong == 0 {
		d.add(gradeOK, "files", "", "keys and records are for their owner alone")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/briskest/briskest/internal/config"
	"github.com/briskest/briskest/registrar"
	"github.com/briskest/briskest/registrar/inventory"
)

// importFolderConfig is a watched folder; it is read at start.
type importFolderConfig struct {
	// Path of the folder: what is put at PATH/MANUFACTURER/FILE is imported; empty: none is watched.
	Path string `yaml:"path"`
	// Settle is how long a file must not change before it is taken; default 10s.
	Settle config.Duration `yaml:"settle"`
}

// watcher is nil where no folder is watched.
func (c *registrarConfig) watcher() *inventory.Watcher {
	if c.ImportFolder.Path == "" {
		return nil
	}
	return &inventory.Watcher{Dir: c.path(c.ImportFolder.Path), Domain: c.Domain, Every: time.Duration(c.ImportFolder.Settle)}
}

// checkImportFolder finds what keeps the folder from being watched. No two domains share
// one: the folder says whose the devices are.
func (c *registrarConfig) checkImportFolder() error {
	w := c.watcher()
	switch {
	case c.ImportFolder.Settle < 0 || c.ImportFolder.Settle > 0 && w == nil:
		return errors.New("import_folder: settle is a time, and goes with a path")
	case w == nil:
		return nil
	}
	if err := w.Check(); err != nil {
		return fmt.Errorf("import_folder: %w", err)
	}
	if c.of == nil {
		return nil
	}
	mine, err := filepath.EvalSymlinks(w.Dir)
	if err != nil {
		return fmt.Errorf("import_folder: %w", err)
	}
	for _, other := range append([]*registrarConfig{c.of}, c.of.others...) {
		if other == c || other.ImportFolder.Path == "" {
			continue
		}
		if theirs, err := filepath.EvalSymlinks(other.watcher().Dir); err == nil && theirs == mine {
			return fmt.Errorf("import_folder: %s is that of the domain %s too", w.Dir, other.Domain)
		}
	}
	return nil
}

// importing imports the files of the watched folder while other does; nil is nothing else.
func (c *registrarConfig) importing(service *registrar.Service, log *slog.Logger, other func(context.Context) error) func(context.Context) error {
	w := c.watcher()
	if w == nil {
		return other
	}
	w.Import, w.Anchors, w.Log = service.ImportDevices, service.ManifestAnchors, log
	return beside(w.Run, other)
}

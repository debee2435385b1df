package main

import (
	"runtime"
	"runtime/debug"

	"github.com/briskest/briskest/internal/cli"
)

type versionCmd struct {
	output
}

type versionRow struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// programVersion is the version of the module that this program was built from.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// Run prints what this program was built from.
func (c *versionCmd) Run(s streams) error {
	row := versionRow{Version: programVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				row.Revision = setting.Value
			}
		}
	}
	return cli.PrintOne(s.Out, c.Format, row)
}

package main

import (
	"context"

	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// quotas tells of domains that hold nearly as many devices as they may. It asks the running
// server; where none runs, there is nothing to tell.
func (d *doctor) quotas(ctx context.Context, c *registrarConfig) {
	socket := c.path(c.Listen.Admin)
	if !answers(ctx, socket) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	client := socketAPI(socket)
	defer client.Close()
	for _, one := range append([]*registrarConfig{c}, c.others...) {
		if one.Limits.Devices == 0 {
			continue
		}
		client.Domain = one.Domain
		status, err := client.Status(ctx)
		if err != nil {
			d.add(gradeBad, "quota", "see the server's log", "domain %s: %v", one.Domain, err)
			continue
		}
		d.quota(status)
	}
}

// nearlyFull is the part of limits.devices, in percent, from which on doctor tells.
const nearlyFull = 90

func (d *doctor) quota(s *registraradmin.Status) {
	g, do := gradeOK, ""
	switch {
	case s.MaxDevices == 0: // the server has not loaded the limit yet
		d.add(gradeNote, "quota", "have the server load the configuration: send SIGHUP", "domain %s holds %d devices, and the server knows of no limits.devices", s.Domain, s.Devices)
		return
	case s.Devices >= s.MaxDevices:
		g, do = gradeBad, "no further device gets in: decommission those that have left, or raise limits.devices"
	case s.Devices >= s.MaxDevices/100*nearlyFull+s.MaxDevices%100*nearlyFull/100:
		g, do = gradeWarn, "decommission devices that have left (briskest report silent), or raise limits.devices"
	}
	d.add(g, "quota", do, "domain %s holds %d devices of %d", s.Domain, s.Devices, s.MaxDevices)
}

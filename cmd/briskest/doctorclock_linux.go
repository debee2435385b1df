package main

import "syscall"

// unsynchronised is STA_UNSYNC of adjtimex(2).
const unsynchronised = 0x40

// clock asks the kernel whether somebody keeps the time.
func (d *doctor) clock() {
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		d.add(gradeNote, "clock", "", "the kernel does not tell whether the time is kept: %v", err)
		return
	}
	if t.Status&unsynchronised != 0 {
		d.add(gradeWarn, "clock", "run chrony or systemd-timesyncd: what is signed begins and ends by this clock", "nobody keeps this machine's time")
		return
	}
	d.add(gradeOK, "clock", "", "the machine's time is kept")
}

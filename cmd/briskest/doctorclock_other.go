//go:build !linux

package main

// clock cannot be asked here.
func (d *doctor) clock() {
	d.add(gradeNote, "clock", "", "this system does not tell whether the time is kept")
}

// Package interop drives other people's EST clients, unmodified, against a
// running registrar. Its tests find each program or skip with its name.
package interop

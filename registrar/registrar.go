// Package registrar decides who may join: it validates IDevIDs, asks the MASA
// for vouchers, enforces them, and has certificates issued, with everything on
// record before anybody is told. [Service] is an est.Backend and a
// brski.RegistrarBackend.
package registrar

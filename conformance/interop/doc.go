// Package interop drives other people's EST clients, unmodified, against a running registrar. Its tests find each
// program or skip with its name.
//
// A case is one client in one operation and one way of asking. To add a case, add a line to its client's file; to add
// a client, write a driver in a file of its own and give it a line in TestOtherPeoplesClients.
package interop

// Package events tells other systems what happens: webhooks, MQTT 5 brokers and NATS
// JetStream get CloudEvents 1.0.
//
// The trail is the outbox. Each entry of a kind in the catalogue ([Types]) is an
// event, so that it is on record in the same transaction as what it tells of, and
// whatever becomes of the process afterwards it is delivered. Its id is made of the
// entry's position and the hash of its leaf: sent again it has the same, and a trail
// that was restored from a backup and went on otherwise has others.
//
// A [Dispatcher] has one pump for each target. A pump reads the trail from the
// target's cursor and sends what the target wants, several events at once, but one of
// a device at a time. What a target does not take while it takes others becomes a
// letter and no longer holds up the cursor; after some tries, or at once where the
// target says that it never will, it is a dead letter.
//
// docs/events.md is the manual for authors of receivers; registrar/events/receive checks signatures.
package events

package cmc

// BodyPartID names a part of a message (RFC 5272, Section 3.2.2). 0 is the message that contains the part.
type BodyPartID uint32

// BodyPartPath leads from a message to a part of it or of a message nested in it (RFC 5272, Section 3.2.2). A path of one element
// is written as a bare bodyPartID where BodyPartReference allows it.
type BodyPartPath []BodyPartID

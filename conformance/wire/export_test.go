package wire

// What the fuzz target sees inside.
var ReadHello = readHello

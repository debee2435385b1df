package stepca

// ReadSigned is for the fuzz test.
var ReadSigned = readSigned

package estserver

// What the tests see inside.
var (
	DecodeCertsOnly  = decodeCertsOnly
	ReadCSRAttrs     = readCSRAttrs
	TLV              = tlv
	AttributeOf      = attribute
	ExtensionOf      = extension
	ExtensionRequest = extensionRequest
)

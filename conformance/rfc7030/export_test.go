package rfc7030

// What the fuzz targets see inside.
var (
	DecodeCertsOnly = decodeCertsOnly
	ReadCSRAttrs    = readCSRAttrs
)

package estserver

// What the fuzz targets see inside.
var (
	DecodeCertsOnly = decodeCertsOnly
	ReadCSRAttrs    = readCSRAttrs
)

package pledge

// ResolveLocation reads the Location of a redirect by the server at base, and
// returns where it leads: URL and host:port.
func ResolveLocation(base, location string) (url, address string, err error) {
	r := &run{origin: origin{base: base}}
	o, err := r.resolve(location)
	return o.base, o.address, err
}

package registrar

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// checkedIDevIDs is what only these settings make for a request whose IDevIDs
// were all found good: an HMAC over them and what follows it, which is what each
// of them says beyond its row, so that neither its signature is verified nor it is
// parsed once more. Without an IDevID there is nothing to save, and it is nil.
func (v *version) checkedIDevIDs(r *ImportRequest, rows []importRow) []byte {
	facts, some := make([]byte, sha256.Size), false
	for i := range r.Devices {
		d := &r.Devices[i]
		if d.IDevID == nil {
			continue
		}
		some = true
		facts = appendUnlike(facts, rows[i].serial, d.SerialNumber)
		facts = appendUnlike(facts, rows[i].module, d.HardwareModule)
	}
	if !some {
		return nil
	}
	copy(facts, v.checkedMAC(r, facts[sha256.Size:]))
	return facts
}

// checkedRows are the rows with an IDevID as a dry run found them; nil where the
// request does not come with what these settings made for the same devices.
func (v *version) checkedRows(r *ImportRequest) []importRow {
	if len(r.Checked) <= sha256.Size {
		return nil
	}
	facts := r.Checked[sha256.Size:]
	if !hmac.Equal(r.Checked[:sha256.Size], v.checkedMAC(r, facts)) {
		return nil
	}
	rows := make([]importRow, len(r.Devices))
	for i := range r.Devices {
		d, ok := &r.Devices[i], true
		if d.IDevID == nil {
			continue
		}
		if rows[i].serial, facts, ok = cutUnlike(facts, d.SerialNumber); !ok {
			return nil
		}
		if rows[i].module, facts, ok = cutUnlike(facts, d.HardwareModule); !ok {
			return nil
		}
	}
	return rows
}

// checkedMAC covers all that the facts are about: the row's own words too, for
// what is not among the facts is as they are.
func (v *version) checkedMAC(r *ImportRequest, facts []byte) []byte {
	mac := hmac.New(sha256.New, v.importKey[:])
	var scratch []byte
	write := func(text string) {
		scratch = binary.AppendUvarint(scratch[:0], uint64(len(text)))
		mac.Write(append(scratch, text...))
	}
	write(r.Manufacturer)
	for i := range r.Devices {
		d := &r.Devices[i]
		sum := sha256.Sum256(d.IDevID)
		mac.Write(sum[:])
		write(d.SerialNumber)
		write(d.HardwareModule)
	}
	mac.Write(facts)
	return mac.Sum(nil)
}

// appendUnlike appends a text by its length plus one, or 0 where it is the row's.
func appendUnlike(out []byte, text, row string) []byte {
	if text == row {
		return append(out, 0)
	}
	return append(binary.AppendUvarint(out, uint64(len(text))+1), text...)
}

func cutUnlike(in []byte, row string) (text string, rest []byte, ok bool) {
	n, used := binary.Uvarint(in)
	if used <= 0 {
		return "", nil, false
	}
	if in = in[used:]; n == 0 {
		return row, in, true
	}
	if n-1 > uint64(len(in)) {
		return "", nil, false
	}
	return string(in[:n-1]), in[n-1:], true
}

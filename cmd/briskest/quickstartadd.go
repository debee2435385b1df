package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/briskest/briskest/cmd/internal/voucherformat"
	"github.com/briskest/briskest/internal/cli"
	registraradmin "github.com/briskest/briskest/registrar/admin"
)

// importDevice puts a device on the registrar's list.
func (q *quickstart) importDevice(ctx context.Context, operator *registraradmin.Client, serial string) error {
	bought, err := operator.ImportDevices(ctx, quickMaker, []registraradmin.ImportDevice{{SerialNumber: serial}}, false)
	if err != nil {
		return err
	}
	if len(bought.Problems) > 0 {
		return fmt.Errorf("the registrar does not take %s: %s", serial, bought.Problems[0].Text)
	}
	return nil
}

// add builds one more device and onboards it at the quickstart that runs.
func (q *quickstart) add(ctx context.Context, serial string) error {
	where, err := readAddresses(q.path(""))
	if err != nil {
		return err
	}
	name := "pledge"
	if serial != quickSerial {
		name = "devices/" + fileName(serial)
	}
	if err := q.makeIDevID(ctx, serial, name); err != nil {
		return err
	}
	q.step("vendor", "built device "+serial, name+"/idevid.pem")
	operator := registrarData{Config: q.path("registrar.yaml")}
	err = operator.operate(ctx, q.out, func(operator *registraradmin.Client) error { return q.importDevice(ctx, operator, serial) })
	if err != nil {
		return err
	}
	q.step("operator", "put "+serial+" on the registrar's list of devices bought")
	err = q.runPledge(ctx, name, where.EST)
	return cli.Hint(err, "the servers must run: briskest quickstart --dir %s starts them", q.path(""))
}

// fileName makes a serial number fit for a folder's name; no two have the same.
func fileName(serial string) string {
	var name strings.Builder
	for _, b := range []byte(serial) {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' {
			name.WriteByte(b)
		} else {
			fmt.Fprintf(&name, "_%02x", b)
		}
	}
	return name.String()
}

// originOf cuts the path off a URL of ours.
func originOf(url string) string {
	origin, _, _ := strings.Cut(url, "/.well-known/")
	return origin
}

// whatNext shows how to go on.
func (q *quickstart) whatNext(est string, once bool) string {
	dir := q.path("")
	servers := "The servers run until this command is told to end (Ctrl-C or SIGTERM). Their\nlogs are in masa/masa.log and registrar/registrar.log there.\n"
	if once {
		servers = fmt.Sprintf("Start the servers again:\n  %s quickstart --dir %s\n", program(), dir)
	}
	return fmt.Sprintf(`
Look at it%[5]s
  openssl verify -CAfile %[1]s/ca.pem %[1]s/pledge/ldevid.pem

%[3]s
Onboard another device while they run:
  %[4]s quickstart --dir %[1]s --add WIDGET-0002

Enroll a device without an IDevID with curl while they run:
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj /CN=sensor-1 -outform DER | openssl base64 -out csr.b64
  curl --cacert %[1]s/ca.pem -u "$(cat %[1]s/est-user.txt)" -H "Content-Type: application/pkcs10" --data-binary @csr.b64 %[2]s/simpleenroll | openssl base64 -d | openssl pkcs7 -inform DER -print_certs`, dir, est, servers, program(), q.verify(dir))
}

// verify shows how to look at the voucher; of the encodings, openssl knows CMS.
func (q *quickstart) verify(dir string) string {
	format := q.format
	for _, f := range []voucherformat.Name{"cms", "jws", "cose"} { // of an earlier run
		if _, err := os.Stat(q.path("pledge/voucher" + f.Extension())); err == nil {
			format = f
		}
	}
	voucher := dir + "/pledge/voucher" + format.Extension()
	if format == "cms" {
		return fmt.Sprintf(" with nothing of ours:\n  openssl cms -verify -inform DER -in %s -CAfile %s/masa/anchor.pem -purpose any", voucher, dir)
	}
	return fmt.Sprintf(":\n  %s voucher verify --anchor %s/masa/anchor.pem %s", program(), dir, voucher)
}

// program is how this program was called, as far as one can tell.
func program() string {
	path, err := os.Executable()
	switch {
	case err == nil && strings.Contains(path, "/go-build"):
		return "go run ./cmd/briskest"
	case err == nil && filepath.Base(path) == "briskest" && !inPath("briskest"):
		return path
	default:
		return "briskest"
	}
}

func inPath(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

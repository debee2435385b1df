package admin

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
)

// Prefix is where the API is.
const Prefix = "/api/v1"

const domainPrefix = Prefix + "/domains/"

// Operation declares one operation of the API.
type Operation struct {
	ID      string // stable, such as "device-show": the operationId of OpenAPI
	Method  string // GET, POST, PUT or DELETE
	Path    string // below /api/v1/domains/{domain}, such as "/devices/{device}"
	Role    Role   // the least that may do it
	Summary string // one sentence
	// Of is the ID of the GET at the path's object, whose ETag If-Match means. Empty: If-Match is refused.
	Of string
	// Secret says that the answer has a secret in it, which is shown this once: it is not kept for an idempotency key.
	Secret bool
	// MaxBody bounds the body in bytes; 0 for 1 MiB.
	MaxBody int64
}

const defaultMaxBody = 1 << 20

// operation is an Operation with its function.
type operation struct {
	Operation
	segments []string // of the path; "{name}" is a parameter
	in, out  reflect.Type
	fields   []field
	upload   *field // that the body is read from, when it is none of JSON
	do       func(ctx context.Context, a *api, in any) (any, error)
}

// define makes an operation of its declaration and function. What cannot be served is a mistake of the
// program's.
func define[In, Out any](o Operation, f func(*api, context.Context, *In) (*Out, error)) operation {
	d := operation{Operation: o, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out]()}
	d.segments = strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
	d.fields = fieldsOf(d.in, nil)
	for i, f := range d.fields {
		if f.in == inUpload {
			d.upload = &d.fields[i]
		}
	}
	if _, ok := reflect.New(d.in).Interface().(interface{ by() *By }); !ok {
		panic("admin: internal error: the request of " + o.ID + " does not embed By")
	}
	d.do = func(ctx context.Context, a *api, in any) (any, error) {
		out, err := f(a, ctx, in.(*In))
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	if err := d.check(); err != nil {
		panic("admin: internal error: operation " + o.ID + ": " + err.Error())
	}
	return d
}

func (o *operation) maxBody() int64 {
	if o.MaxBody > 0 {
		return o.MaxBody
	}
	return defaultMaxBody
}

// hasBody tells whether the operation takes a body.
func (o *operation) hasBody() bool { return o.Method == http.MethodPost || o.Method == http.MethodPut }

// check finds declarations that cannot be served.
func (o *operation) check() error {
	switch o.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		return fmt.Errorf("method %q", o.Method)
	}
	named := make(map[string]bool)
	for _, s := range o.segments {
		if name, ok := parameter(s); ok {
			named[name] = true
		} else if s == "" {
			return fmt.Errorf("path %q", o.Path)
		}
	}
	for _, f := range o.fields {
		switch {
		case f.in == inPath && !named[f.name]:
			return fmt.Errorf("the path has no {%s}", f.name)
		case (f.in == inBody || f.in == inUpload) && !o.hasBody():
			return fmt.Errorf("%s has a body member %s", o.Method, f.name)
		case f.in == inPath:
			delete(named, f.name)
		}
	}
	for name := range named {
		return fmt.Errorf("the request has no field for {%s}", name)
	}
	return nil
}

// parameter returns the name of a path's parameter.
func parameter(segment string) (string, bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

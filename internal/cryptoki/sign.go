//go:build pkcs11 && unix

package cryptoki

// The wrapper makes of a signature three calls of the library (C_SignInit, C_Sign
// for the length, C_Sign) and some more to allocate and free. Here it is one step
// out of Go and two calls, which is what pays for the goroutine that a call which
// can be left behind needs.

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stddef.h>

typedef unsigned long ck_ulong;
typedef struct { ck_ulong type; void *parameter; ck_ulong length; } ck_mechanism;
typedef ck_ulong (*ck_sign_init)(ck_ulong session, ck_mechanism *mechanism, ck_ulong key);
typedef ck_ulong (*ck_sign)(ck_ulong session, unsigned char *data, ck_ulong length, unsigned char *signature, ck_ulong *size);

// CK_FUNCTION_LIST (PKCS#11 v2.40, Section 5.4): a version and the functions, in
// an order that is fixed.
typedef struct { unsigned char version[2]; void (*functions[44])(void); } ck_functions;
enum { ck_number_sign_init = 42, ck_number_sign = 43 };

// What the wrapper keeps of a library. Some, such as p11-kit's client, make a
// list anew for whoever asks, with a start of its own, so it has to be that one.
typedef struct { void *library; ck_functions *list; } ck_wrapped;

// NULL where the first field is not the library, which dlopen tells: then the
// wrapper is another one than it was.
static ck_functions *ck_functions_of(const char *path, ck_wrapped *wrapped) {
	void *library = dlopen(path, RTLD_LAZY);
	if (library == NULL || wrapped == NULL || wrapped->library != library)
		return NULL;
	return wrapped->list;
}

// size is the room for the signature, then its length. failed is 1 where it
// was C_SignInit that did not succeed.
static ck_ulong ck_sign_once(ck_functions *list, ck_ulong session, ck_ulong key, ck_ulong type, void *parameter, ck_ulong parameter_length,
		unsigned char *data, ck_ulong length, unsigned char *signature, ck_ulong *size, int *failed) {
	ck_mechanism mechanism = { type, parameter, parameter_length };
	ck_ulong code = ((ck_sign_init)list->functions[ck_number_sign_init])(session, &mechanism, key);
	*failed = code != 0;
	if (code != 0)
		return code;
	return ((ck_sign)list->functions[ck_number_sign])(session, data, length, signature, size);
}
*/
import "C"

import (
	"reflect"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/briskest/briskest/internal/token"
)

// functions are what a library offers.
type functions struct {
	ctx  *pkcs11.Ctx
	list *C.ck_functions // nil for through the wrapper
}

// functionsOf returns those of a library that the wrapper has loaded.
func functionsOf(ctx *pkcs11.Ctx, path string) functions {
	f := functions{ctx: ctx}
	if t := reflect.TypeFor[pkcs11.Ctx](); t.NumField() != 1 || t.Field(0).Type.Kind() != reflect.Pointer {
		return f
	}
	name := append([]byte(path), 0)
	f.list = C.ck_functions_of((*C.char)(unsafe.Pointer(&name[0])), *(**C.ck_wrapped)(unsafe.Pointer(ctx)))
	return f
}

// direct tells whether signatures are made without the wrapper.
func (f functions) direct() bool { return f.list != nil }

// maxSignature is the most bytes of a signature: that of an RSA key of 8192 bits.
const maxSignature = 1024

// sign is C_SignInit and C_Sign.
func (f functions) sign(s pkcs11.SessionHandle, key pkcs11.ObjectHandle, m *pkcs11.Mechanism, data []byte) ([]byte, error) {
	if f.list == nil {
		return wrapped(f.ctx, s, key, m, data)
	}
	signature := make([]byte, maxSignature)
	size, failed := C.ck_ulong(len(signature)), C.int(0)
	e := C.ck_sign_once(f.list, C.ck_ulong(s), C.ck_ulong(key), C.ck_ulong(m.Mechanism), unsafe.Pointer(unsafe.SliceData(m.Parameter)), C.ck_ulong(len(m.Parameter)),
		(*C.uchar)(unsafe.SliceData(data)), C.ck_ulong(len(data)), (*C.uchar)(unsafe.SliceData(signature)), &size, &failed)
	switch {
	case e == 0:
		return signature[:min(int(size), len(signature))], nil
	case failed != 0:
		return nil, algorithm(token.Code(e))
	default:
		return nil, token.Code(e)
	}
}

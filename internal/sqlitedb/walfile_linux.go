package sqlitedb

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxGathered is the most of a transaction, in bytes, that is kept before it is
// written. The memory stays for the next one.
const maxGathered = 1 << 20

// walFile is how the writer's write-ahead log reaches the disk. SQLite writes a
// page of the log in two calls and a transaction in dozens; walFile gathers
// what is contiguous and writes it in one call when SQLite asks for the sync
// that makes the transaction durable, or reads, or writes elsewhere. SQLite
// tells nobody of a frame before that sync, and after a crash a log that ends
// early is one that it takes as far as its checksums go: to keep a write back
// until the sync changes nothing that it relies on.
//
// It is an SQLite VFS that differs from the default one in these calls only,
// registered under its own name for one connection.
type walFile struct {
	tls    *libc.TLS
	name   uintptr // C string
	vfs    uintptr // sqlite3_vfs, ours
	parent uintptr // sqlite3_vfs, the default one
	table  uintptr // sqlite3_io_methods, ours
	theirs sqlite3.Tsqlite3_io_methods

	file *os.File // the log, while it is open
	at   int64    // where gathered belongs
	// gathered is written at the next sync.
	gathered []byte

	// The functions that C memory points to are kept here from being collected.
	xOpen     func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	xClose    func(*libc.TLS, uintptr) int32
	xRead     func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	xWrite    func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	xTruncate func(*libc.TLS, uintptr, int64) int32
	xSync     func(*libc.TLS, uintptr, int32) int32
	xFileSize func(*libc.TLS, uintptr, uintptr) int32
}

// newWALFile registers the VFS. The name goes into the data source name; close
// follows after the connection has been closed.
func newWALFile() (w *walFile, name string, err error) {
	w = &walFile{tls: libc.NewTLS()}
	w.xOpen, w.xClose, w.xRead, w.xWrite = w.open, w.closeFile, w.read, w.write
	w.xTruncate, w.xSync, w.xFileSize = w.truncate, w.sync, w.fileSize

	name = fmt.Sprintf("briskest-%p", w)
	w.parent = sqlite3.Xsqlite3_vfs_find(w.tls, 0)
	w.vfs = libc.Xcalloc(w.tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	w.table = libc.Xcalloc(w.tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	w.name, err = libc.CString(name)
	if err != nil || w.parent == 0 || w.vfs == 0 || w.table == 0 {
		w.free()
		return nil, "", errors.Join(errors.New("sqlite: no memory for a VFS"), err)
	}
	v := pointer[sqlite3.Tsqlite3_vfs](w.vfs)
	*v = *pointer[sqlite3.Tsqlite3_vfs](w.parent)
	v.FpNext, v.FzName, v.FxOpen = 0, w.name, function(&w.xOpen)
	if rc := sqlite3.Xsqlite3_vfs_register(w.tls, w.vfs, 0); rc != sqlite3.SQLITE_OK {
		w.free()
		return nil, "", fmt.Errorf("sqlite: register a VFS: code %d", rc)
	}
	return w, name, nil
}

// close unregisters the VFS. No connection may use it any more.
func (w *walFile) close() {
	sqlite3.Xsqlite3_vfs_unregister(w.tls, w.vfs)
	w.free()
}

func (w *walFile) free() {
	for _, p := range []uintptr{w.vfs, w.table, w.name} {
		libc.Xfree(w.tls, p)
	}
	w.tls.Close()
}

// pointer makes C memory a Go value.
func pointer[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// function makes a Go function callable from translated C: there a function
// pointer is the word that a Go function value consists of.
func function[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

// goFunction is the reverse.
func goFunction[F any](p uintptr) F {
	q := &struct{ p uintptr }{p}
	return *(*F)(unsafe.Pointer(q))
}

// open opens any file as the default VFS does, and takes the log's methods over.
func (w *walFile) open(tls *libc.TLS, _, name, file uintptr, flags int32, out uintptr) int32 {
	theirs := goFunction[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](
		pointer[sqlite3.Tsqlite3_vfs](w.parent).FxOpen)
	rc := theirs(tls, w.parent, name, file, flags, out)
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 || w.file != nil {
		return rc
	}
	methods := pointer[uintptr](file) // the first field of an sqlite3_file
	w.theirs = *pointer[sqlite3.Tsqlite3_io_methods](*methods)
	f, err := os.OpenFile(libc.GoString(name), os.O_RDWR, 0)
	if err != nil {
		return rc // the log is then written as by the default VFS
	}
	ours := pointer[sqlite3.Tsqlite3_io_methods](w.table)
	*ours = w.theirs
	ours.FxClose, ours.FxRead, ours.FxWrite = function(&w.xClose), function(&w.xRead), function(&w.xWrite)
	ours.FxTruncate, ours.FxSync, ours.FxFileSize = function(&w.xTruncate), function(&w.xSync), function(&w.xFileSize)
	w.file, w.gathered, *methods = f, w.gathered[:0], w.table
	return rc
}

func (w *walFile) write(_ *libc.TLS, _, data uintptr, n int32, at int64) int32 {
	if len(w.gathered) > 0 && at != w.at+int64(len(w.gathered)) || len(w.gathered)+int(n) > maxGathered {
		if rc := w.flush(); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if len(w.gathered) == 0 {
		w.at = at
	}
	w.gathered = append(w.gathered, unsafe.Slice(pointer[byte](data), n)...)
	return sqlite3.SQLITE_OK
}

// flush writes what was gathered. After an error it is gone, as after a failed
// write; SQLite undoes the transaction.
func (w *walFile) flush() int32 {
	if len(w.gathered) == 0 {
		return sqlite3.SQLITE_OK
	}
	_, err := w.file.WriteAt(w.gathered, w.at)
	w.gathered = w.gathered[:0]
	switch {
	case err == nil:
		return sqlite3.SQLITE_OK
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return sqlite3.SQLITE_FULL
	default:
		return sqlite3.SQLITE_IOERR | 3<<8 // SQLITE_IOERR_WRITE
	}
}

// sync makes what was written durable. The log's times need not be, which
// fsync would see to as well.
func (w *walFile) sync(*libc.TLS, uintptr, int32) int32 {
	if rc := w.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	for {
		err := syscall.Fdatasync(int(w.file.Fd())) //nolint:gosec // descriptors fit an int
		if err == nil {
			return sqlite3.SQLITE_OK
		}
		if !errors.Is(err, syscall.EINTR) {
			return sqlite3.SQLITE_IOERR | 4<<8 // SQLITE_IOERR_FSYNC
		}
	}
}

func (w *walFile) read(tls *libc.TLS, file, into uintptr, n int32, at int64) int32 {
	if rc := w.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return goFunction[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](w.theirs.FxRead)(tls, file, into, n, at)
}

func (w *walFile) truncate(tls *libc.TLS, file uintptr, size int64) int32 {
	if rc := w.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return goFunction[func(*libc.TLS, uintptr, int64) int32](w.theirs.FxTruncate)(tls, file, size)
}

func (w *walFile) fileSize(tls *libc.TLS, file, out uintptr) int32 {
	if rc := w.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return goFunction[func(*libc.TLS, uintptr, uintptr) int32](w.theirs.FxFileSize)(tls, file, out)
}

func (w *walFile) closeFile(tls *libc.TLS, file uintptr) int32 {
	rc := w.flush()
	if err := w.file.Close(); err != nil && rc == sqlite3.SQLITE_OK {
		rc = sqlite3.SQLITE_IOERR | 16<<8 // SQLITE_IOERR_CLOSE
	}
	w.file, w.gathered = nil, nil
	if theirs := goFunction[func(*libc.TLS, uintptr) int32](w.theirs.FxClose)(tls, file); theirs != sqlite3.SQLITE_OK {
		return theirs
	}
	return rc
}

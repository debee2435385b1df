package inventory

import (
	"context"
	"io/fs"
	"os"
)

// RunFile imports a file that was looked at before.
func (w *Watcher) RunFile(ctx context.Context, root *os.Root, manufacturer, name string, info fs.FileInfo) (*Report, bool, error) {
	return w.run(ctx, root, manufacturer, name, info)
}

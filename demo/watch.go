package demo

import (
	"errors"
	"io/fs"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// watchEvery is how often a gateway's journal is read for the story.
const watchEvery = 250 * time.Millisecond

// A reader follows a gateway's evidence journal on the disk, read-only and
// beside the process that writes it: what it tells is durable.
type reader struct {
	dir  string
	next map[holdfast.Epoch]holdfast.Seq // first record of each epoch that was not returned yet
}

func newReader(dir string) *reader {
	return &reader{dir: dir, next: map[holdfast.Epoch]holdfast.Seq{}}
}

// read returns the records since the last call. A journal that is not there yet
// has none, and what is being written this moment comes with the next call.
func (r *reader) read() ([]record.Record, error) {
	dir, err := durable.OpenDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fresh []record.Record
	_, err = journal.Scan(dir, func(id journal.Identity, f journal.Frame) error {
		if f.Kind != journal.Record || f.Seq < r.next[id.Epoch] {
			return nil
		}
		r.next[id.Epoch] = f.Seq + 1
		rec, err := record.Decode(f.Body)
		if err == nil {
			fresh = append(fresh, rec)
		}
		return nil // a record that this software cannot read is not the story's business
	})
	return fresh, err
}

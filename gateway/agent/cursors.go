package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

const cursorsFile = "cursors.json"

type cursorKey struct {
	journal holdfast.Journal
	epoch   holdfast.Epoch
}

// cursors remembers how far the cloud was, across restarts. It is a hint for
// people and metrics: the truth comes with the next welcome, and a lost or
// damaged file only makes more look unsent than is.
type cursors struct {
	path string

	mu    sync.Mutex
	at    map[cursorKey]uplink.Cursor
	dirty bool
}

func loadCursors(dir string) *cursors {
	c := &cursors{path: filepath.Join(dir, cursorsFile), at: make(map[cursorKey]uplink.Cursor)}
	var list []uplink.Cursor
	if b, err := os.ReadFile(c.path); err == nil && json.Unmarshal(b, &list) == nil {
		for _, cur := range list {
			c.at[cursorKey{cur.Journal, cur.Epoch}] = cur
		}
	}
	return c
}

// take notes what an input says about the cloud's cursors.
func (c *cursors) take(in gateway.Input) {
	switch in := in.(type) {
	case gateway.LinkUp:
		c.set(in.Welcome.Cursors...)
	case gateway.UploadDone:
		if in.Mismatch == nil {
			c.set(uplink.Cursor{Journal: in.Journal, Epoch: in.Epoch, Received: in.Ack.Received, Reconciled: in.Ack.Reconciled})
		}
	}
}

func (c *cursors) set(list ...uplink.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cur := range list {
		if k := (cursorKey{cur.Journal, cur.Epoch}); c.at[k] != cur {
			c.at[k], c.dirty = cur, true
		}
	}
}

// reconciled returns how many records of an epoch the cloud has in its books.
func (c *cursors) reconciled(j holdfast.Journal, e holdfast.Epoch) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[cursorKey{j, e}].Reconciled
}

// save writes the file when something changed. It is not synced: see the type.
func (c *cursors) save() error {
	c.mu.Lock()
	if !c.dirty {
		c.mu.Unlock()
		return nil
	}
	list := make([]uplink.Cursor, 0, len(c.at))
	for _, cur := range c.at {
		list = append(list, cur)
	}
	c.dirty = false
	c.mu.Unlock()
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode cursors: %w", err)
	}
	tmp := c.path + ".tmp"
	if err := errors.Join(os.WriteFile(tmp, b, 0o600), os.Rename(tmp, c.path)); err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}

package cloud

import "github.com/holdfast-ev/holdfast"

// A Desk is the fold's desk, for tests.
type Desk struct{ *desk }

// NewDesk lays a desk over tx.
func NewDesk(tx Tx) Desk { return Desk{newDesk(tx)} }

// Flush writes what waits.
func (d Desk) Flush() error { return d.flush() }

// StartsFresh says that nothing is stored of a session.
func (d Desk) StartsFresh(id holdfast.SessionID) { d.startsFresh(id) }

// Fetch lays documents open.
func (d Desk) Fetch(k Kind, keys []string) error { return d.fetch(k, keys) }

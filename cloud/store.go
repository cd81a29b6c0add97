package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
)

// A Store keeps what the cloud knows. cloud/store has two keepers, SQLite and
// memory; storetest is the suite that a keeper passes.
type Store interface {
	// Update runs fn in a transaction that is durable when Update returns nil and
	// leaves no trace when fn or Update returns an error, with one exception that
	// every caller has to live with: a commit that failed may have happened.
	// Updates are serialised.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn on a consistent snapshot. What fn writes is an error.
	View(ctx context.Context, fn func(Tx) error) error
	Close() error
}

// An Archive keeps received slices as they came, outside the tables.
type Archive interface {
	// Put stores b under a name that is derived from b, so that putting it again
	// is harmless. It is durable when Put returns nil.
	Put(ctx context.Context, name string, b []byte) error
	// Get returns what was put, [ErrNotFound] when there is none.
	Get(ctx context.Context, name string) ([]byte, error)
}

// A Tx is one transaction of a [Store].
type Tx interface{}

// A LogEntry is one entry of the cloud's own journal: what people decided, and
// every slice that was received, in the order in which the cloud learned it.
type LogEntry struct {
	N    uint64             `json:"n"` // 1, 2, ...
	At   holdfast.UnixMilli `json:"at"`
	By   string             `json:"by"` // a person or an API token; a gateway's id for what it sent
	Kind string             `json:"kind"`
	Body []byte             `json:"body"` // JSON
}

package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
)

// A Store keeps what the cloud knows. cloud/store has three keepers, SQLite,
// PostgreSQL and memory; cloud/store/storetest is the suite that every keeper
// passes.
type Store interface {
	// Update runs fn in a transaction that is durable when Update returns nil and
	// leaves no trace when fn returns an error. When the commit itself fails, the
	// error does not say whether it happened: every caller has to converge when it
	// simply tries again. Updates are serialised, also with those of other
	// processes on the same store. fn may run only once, and must not keep its Tx.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn on a consistent snapshot. What fn writes is an error.
	View(ctx context.Context, fn func(Tx) error) error
	// Scrub makes the keys, tokens and lists that were deleted or overwritten
	// unreadable in the keeper's own tables. It is what erasing a driver's keys ends
	// with.
	Scrub(ctx context.Context) error
	Close() error
}

// An Archive keeps received slices as they came, outside the tables. Names are
// slash-separated, and derived from the bytes by the caller: putting the same
// again is harmless, and two different slices never have one name.
type Archive interface {
	// Put is durable when it returns nil. When it fails, some, all or none of b may
	// be there; putting it again repairs that.
	Put(ctx context.Context, name string, b []byte) error
	// Get returns what was put, [ErrNotFound] when there is nothing.
	Get(ctx context.Context, name string) ([]byte, error)
}

// A Tx is one transaction of a [Store]. It holds three things: the cloud's own
// journal, documents with a few indexed fields, and the records of evidence.
// Bytes that it returns belong to the caller; bytes that it is given may be
// reused after the call.
type Tx interface {
	// AppendLog appends e and returns its number, one more than the last; e.N is
	// ignored.
	AppendLog(e LogEntry) (n uint64, err error)
	// ReadLog returns at most limit entries with numbers above after, in order.
	ReadLog(after uint64, limit int) ([]LogEntry, error)

	// Put inserts d or replaces the document with its key. It returns the
	// document's number: one above the highest of the kind for a new key, what it
	// was for a known one. d.N is ignored.
	Put(d Doc) (n uint64, err error)
	// Add is Put for a key that must be new: otherwise it fails with [ErrExists],
	// and the transaction is lost.
	Add(d Doc) (n uint64, err error)
	// PutAll is Put for each of docs, which are of kind k and have different keys,
	// in order.
	PutAll(k Kind, docs []Doc) error
	// AddAll is Add for each of docs, which are of kind k, in order.
	AddAll(k Kind, docs []Doc) error
	// Get returns a document, [ErrNotFound].
	Get(k Kind, key string) (Doc, error)
	// GetAll returns the documents that there are among keys, which differ, in any
	// order.
	GetAll(k Kind, keys []string) ([]Doc, error)
	// List returns the documents of a kind that q asks for.
	List(k Kind, q Query) ([]Doc, error)
	// Beside returns the documents nearest below and above a value of one field,
	// in byte order, among those whose other fields equal where; nil for none.
	Beside(k Kind, where Fields, field, value string) (before, after *Doc, err error)
	// Count counts the documents whose fields equal where.
	Count(k Kind, where Fields) (int, error)
	// Delete removes a document; an unknown key is no error.
	Delete(k Kind, key string) error
	// Clear removes every document of a kind; numbers begin at 1 again.
	Clear(k Kind) error

	// AddRecords stores consecutive records of a stream. It fails with
	// [ErrExists], and the transaction is lost, when a position is there already,
	// whatever its bytes are: a position is used once, for ever.
	AddRecords(stream uint64, rows []Row) error
	// Leaves calls fn with the leaf hash of each record in [from, to) of a stream,
	// in order.
	Leaves(stream uint64, from, to holdfast.Seq, fn func(holdfast.Seq, holdfast.Hash) error) error
	// Touched returns the sessions that records in [from, to) of a stream belong
	// to, each once, in the order of their first record there.
	Touched(stream uint64, from, to holdfast.Seq) ([]holdfast.SessionID, error)
	// Known returns those of ids, which differ, that records belong to, in any order.
	Known(ids []holdfast.SessionID) ([]holdfast.SessionID, error)
	// SessionRecords returns the records of a session, of every stream, ordered by
	// (stream, seq).
	SessionRecords(s holdfast.SessionID) ([]Row, error)
	// ClearRecords removes every record.
	ClearRecords() error
}

// A LogEntry is one entry of the cloud's own journal: what people decided, and
// every slice that was received, in the order in which the cloud learned it.
type LogEntry struct {
	N    uint64             `json:"n"` // 1, 2, ...
	At   holdfast.UnixMilli `json:"at"`
	By   string             `json:"by"` // who: a person, an API token; a gateway's id for what it sent
	Kind string             `json:"kind"`
	Body []byte             `json:"body"` // JSON
}

// A Row is one record of evidence.
type Row struct {
	Stream  uint64 // number of the stream's document; AddRecords ignores it
	Seq     holdfast.Seq
	Leaf    holdfast.Hash
	Session holdfast.SessionID // zero: none. The opening record carries its own leaf
	Body    []byte             // the record, verbatim
}

// MaxKey bounds the key and each field of a document, in bytes: an index entry
// of two fields fits a page of every keeper. A longer one is [ErrInvalid].
const MaxKey = 1024

// A Doc is a document: a JSON body under a key, with a few fields repeated
// outside it to be found by. Key and fields may be any bytes, and are compared
// as bytes.
type Doc struct {
	Kind   Kind
	Key    string
	N      uint64 // order of first insertion within the kind, from 1
	Fields Fields // exactly the fields of the kind; "" where a field is empty
	Body   []byte
}

// Fields are a document's indexed fields by name.
type Fields map[string]string

// A Query asks for documents of one kind.
type Query struct {
	Where  Fields // documents whose fields equal these
	Cursor uint64 // only documents after this number in the order asked for; 0: from the beginning
	Limit  int    // at most so many; 0: all
	Oldest bool   // ascending by number; otherwise descending
}

// A Kind is a kind of document; a keeper has a table for each.
type Kind string

// The kinds. What is marked (fold) can be dropped and made again from the
// archive and the cloud's journal.
const (
	KindSite       Kind = "site"       // a site
	KindCode       Kind = "code"       // an enrolment code, by its hash
	KindGateway    Kind = "gateway"    // a gateway and its keys
	KindStream     Kind = "stream"     // (fold) a (gateway, journal, epoch): cursor and tree
	KindCheckpoint Kind = "checkpoint" // (fold) a verified checkpoint, by stream and size
	KindSlice      Kind = "slice"      // (fold) where a received slice is archived, by stream and first record
	KindContact    Kind = "contact"    // what a gateway last said of itself
	KindSealKey    Kind = "sealkey"    // a wrapped key of sealed fields
	KindToken      Kind = "token"      // a token
	KindTokenAt    Kind = "tokenat"    // a token's hash at a site
	KindTariff     Kind = "tariff"     // a version of a tariff
	KindTariffAt   Kind = "tariffat"   // its statement for a site
	KindLimits     Kind = "limits"     // a site's limit schedule
	KindGrant      Kind = "grant"      // a grant
	KindList       Kind = "list"       // a site's access list
	KindDirective  Kind = "directive"  // a directive
	KindSession    Kind = "session"    // (fold) a session
	KindPlace      Kind = "place"      // (fold) a session in the row of its EVSE
	KindCDR        Kind = "cdr"        // (fold) a CDR or a credit
	KindEntry      Kind = "entry"      // (fold) a line of the ledger
	KindException  Kind = "exception"  // (fold) a case for a person
	KindBalance    Kind = "balance"    // (fold) an account's sum
	KindTotal      Kind = "total"      // (fold) a site's counters
	KindAnswer     Kind = "answer"     // the answer to a request with a key, see Plane.Once
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		KindSite, KindCode, KindGateway, KindStream, KindCheckpoint, KindSlice, KindContact, KindSealKey, KindToken, KindTokenAt,
		KindTariff, KindTariffAt, KindLimits, KindGrant, KindList, KindDirective, KindSession, KindPlace, KindCDR, KindEntry, KindException,
		KindBalance, KindTotal, KindAnswer,
	}
}

// Fields names the indexed fields of k. Every document of the kind has them
// all.
func (k Kind) Fields() []string {
	switch k {
	case KindCode, KindGateway:
		return []string{"site"}
	case KindTariffAt:
		return []string{"site", "tariff"}
	case KindStream:
		return []string{"gateway"}
	case KindSlice:
		return []string{"stream", "at"}
	case KindSealKey:
		return []string{"gateway", "token"}
	case KindAnswer:
		return []string{"token"}
	case KindTariff:
		return []string{"tariff"}
	case KindTokenAt, KindGrant:
		return []string{"site", "token"}
	case KindDirective:
		return []string{"gateway", "kind", "pending"}
	case KindSession:
		return []string{"site", "charger", "running", "stage"}
	case KindPlace:
		return []string{"row", "at"}
	case KindCDR:
		return []string{"site", "session", "current"}
	case KindEntry:
		return []string{"site", "session", "account"}
	case KindException:
		return []string{"site", "session", "code", "state"}
	}
	return nil
}

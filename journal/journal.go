package journal

import (
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of the format. Readers allocate by them, writers refuse beyond them.
const (
	MaxBody   = 1 << 20  // bytes of a record's body
	MaxKey    = 4096     // bytes of a key frame's body
	MaxBatch  = 16 << 20 // bytes waiting for one Sync; Append refuses more
	MaxReason = 48       // bytes of the reason an epoch began
	MaxEpochs = 256      // epochs on the disk at a time; NewEpoch refuses more until one is pruned

	DefaultSegmentBytes = 1 << 20   // a segment is sealed at the first Sync after it is this long
	MinSegmentBytes     = 1 << 10   // smallest Options.SegmentBytes
	MaxSegmentBytes     = 64 << 20  // largest Options.SegmentBytes
	DefaultMaxBytes     = 256 << 20 // a year of eight connectors at five sessions a day
)

// The sentinel errors.
var (
	ErrNone    = errors.New("no journal here")              // Open: the directory holds none
	ErrExists  = errors.New("a journal is already here")    // Create: it holds one
	ErrFull    = errors.New("journal is full")              // Append: Options.MaxBytes is reached
	ErrFailed  = errors.New("journal failed")               // a write or a sync failed: discard the Log and Open again
	ErrLost    = errors.New("acknowledged history is lost") // Append: begin a new epoch first
	ErrVersion = errors.New("written by other software")    // a format that this software does not read; nothing is touched
	ErrCorrupt = errors.New("corrupt")                      // wrapped by every Damage
)

// A Kind is the kind of a frame.
type Kind byte

// The kinds of frame that callers see.
const (
	Record     Kind = 1 // a leaf of the tree
	Checkpoint Kind = 2 // a C2SP signed note; Seq is the tree size that it signs
	Key        Kind = 3 // the wrapped key of sealed fields; no leaf; Seq is that of the record that follows
)

// The kinds that segments use for themselves.
const (
	kindFrontier Kind = 16 // first frame of a segment: the tree before its first record
	kindSeal     Kind = 17 // last frame of a sealed segment: size, root, tree
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Record:
		return "record"
	case Checkpoint:
		return "checkpoint"
	case Key:
		return "key"
	case kindFrontier:
		return "frontier"
	case kindSeal:
		return "seal"
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// limit is the largest body of a frame of this kind; 0 for an unknown kind.
func (k Kind) limit() int {
	switch k {
	case Record:
		return MaxBody
	case Checkpoint:
		return MaxCheckpoint
	case Key:
		return MaxKey
	case kindFrontier:
		return MaxFrontierBytes
	case kindSeal:
		return maxSealBody
	}
	return 0
}

func (k Kind) internal() bool { return k >= kindFrontier }

// A Frame is one entry of a journal.
type Frame struct {
	Kind Kind
	Seq  holdfast.Seq
	Body []byte
}

// An Identity names one epoch of one journal, and where it came from.
type Identity struct {
	Gateway    holdfast.GatewayID `json:"gateway"`
	Journal    holdfast.Journal   `json:"journal"`
	Epoch      holdfast.Epoch     `json:"epoch"`
	Parent     holdfast.Epoch     `json:"parent"` // zero for a gateway's first
	ParentSize uint64             `json:"parent_size"`
	ParentRoot holdfast.Hash      `json:"parent_root"`
}

// Origin is the name of the epoch's tree in its checkpoints:
// "holdfast/<gateway>/<journal>/<epoch>".
func (id Identity) Origin() string {
	return "holdfast/" + string(id.Gateway) + "/" + string(id.Journal) + "/" + id.Epoch.String()
}

func (id Identity) validate() error {
	if _, err := holdfast.ParseGatewayID(string(id.Gateway)); err != nil {
		return err
	}
	if _, err := holdfast.ParseJournal(string(id.Journal)); err != nil {
		return err
	}
	if id.Epoch.IsZero() {
		return errors.New("epoch is zero")
	}
	return nil
}

// Options are a journal's settings. The zero value is the default.
type Options struct {
	// SegmentBytes is the length at which a segment is sealed, 0 for
	// [DefaultSegmentBytes]. A segment is longer by up to one batch.
	SegmentBytes int64

	// MaxBytes bounds the directory, 0 for [DefaultMaxBytes]: an Append that
	// would exceed it fails with [ErrFull] and changes nothing.
	MaxBytes int64

	// Clock stamps the headers of new segments. It is information only; nil
	// stamps "not given".
	Clock func() holdfast.UnixMilli
}

func (o Options) withDefaults() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Clock == nil {
		o.Clock = func() holdfast.UnixMilli { return 0 }
	}
	if o.SegmentBytes < MinSegmentBytes || o.SegmentBytes > MaxSegmentBytes {
		return o, fmt.Errorf("segment of %d bytes, want %d to %d", o.SegmentBytes, MinSegmentBytes, MaxSegmentBytes)
	}
	if o.MaxBytes < 0 {
		return o, fmt.Errorf("limit of %d bytes, want at least 0", o.MaxBytes)
	}
	return o, nil
}

// A Damage is a place in a file of the journal that is not as it was written.
type Damage struct {
	Segment string // file name
	Offset  int64  // of the first frame that does not verify, in bytes
	What    string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%s at offset %d: %s", d.Segment, d.Offset, d.What)
}

// Unwrap returns [ErrCorrupt].
func (d *Damage) Unwrap() error { return ErrCorrupt }

// A MissingError says that records in the middle of an epoch are not there to
// be read: pruned, or in a segment that was quarantined. To may be read again.
type MissingError struct {
	Epoch    holdfast.Epoch
	From, To holdfast.Seq // records From to To-1
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("epoch %s: records %d to %d are not on the disk", e.Epoch, e.From, e.To-1)
}

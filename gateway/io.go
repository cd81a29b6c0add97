package gateway

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A ConnID names one WebSocket connection of a charger for as long as this
// process lives. The shell counts them from 1 and never uses one twice.
type ConnID uint64

// An Input is one thing that happened. The loop hands inputs to [Gateway.Step]
// one at a time.
type Input interface{ input() }

// Connected: a charger's WebSocket handshake was done and its credentials
// checked by the shell.
type Connected struct {
	Conn    ConnID
	Charger holdfast.ChargerID
	Version string // negotiated subprotocol
	Proved  bool   // the peer proved the identity (profile >= 1); false only in a declared lab
	Profile int    // OCPP security profile of the connection: 0 none, 1 password, 2 password over TLS
	Remote  string // address, for the log and the record
}

// Disconnected: the connection is gone, whoever ended it.
type Disconnected struct {
	Conn   ConnID
	Detail string
}

// Frame: a text frame came in. Oversized frames never get here: the shell
// closes the connection and reports Refused.
type Frame struct {
	Conn ConnID
	Raw  []byte
}

// Refused: the shell turned somebody away (401, 404, rate, size). It changes no
// state but is counted into a security event.
type Refused struct {
	Charger holdfast.ChargerID // as claimed; "" when not even that
	Kind    string             // "auth", "unknown_charger", "rate", "size", "subprotocol"
	Remote  string
}

// Tick: time has passed. The loop sends one at least every second.
type Tick struct{}

// Signed: an answer to a [SignRequest].
type Signed struct {
	ID    uint64
	Bytes []byte // COSE_Sign1
	Err   string // "" when it worked
}

// LinkUp: hello was answered.
type LinkUp struct {
	Welcome   uplink.Welcome
	CloudTime holdfast.UnixMilli // verified signed time; 0 when the answer's time did not verify
}

// LinkDown: a contact failed, and staged probes found why.
type LinkDown struct {
	Cause  holdfast.Cause
	Detail string
	Named  bool          // of CLOUD_BUSY: the cloud named a time
	Route  *uplink.Route // that it went over; nil: the one in use
}

// UploadDone: an answer to an [Upload].
type UploadDone struct {
	Journal  holdfast.Journal
	Epoch    holdfast.Epoch
	First    holdfast.Seq // as the Upload asked
	Ack      uplink.Ack
	Mismatch *uint64 // the cloud expects this Seq instead
}

// Directives: the cloud pushed these over the live link.
type Directives struct {
	List []uplink.Directive
}

// Told: an answer to an [Ask]; Err says that no answer came.
type Told struct {
	ID  uint64
	Ack uplink.Told
	Err string
}

// Space: bytes that the evidence journal may still grow by.
type Space struct {
	FreeBytes int64
}

// Committed: the loop reports how far the disk has come, after each sync.
type Committed struct {
	Journal    holdfast.Journal
	Epoch      holdfast.Epoch
	Size       uint64
	Checkpoint uint64 // size of the last signed checkpoint in the stream
	Bytes      int64  // of the journal on the disk
}

// CheckpointSigned: the device key signed a checkpoint of the evidence journal
// that Ready asked for.
type CheckpointSigned struct {
	Size uint64
	Note []byte // C2SP signed note
}

// Unreadable: the slice of an [Upload] is not on the disk any more.
type Unreadable struct {
	Journal holdfast.Journal
	Epoch   holdfast.Epoch
	First   holdfast.Seq
	Resume  holdfast.Seq // where the records can be read again; 0 unknown
	Detail  string
}

// SegmentDamaged: a sealed segment does not verify. Whoever found it fills in
// Journal, File, Offset and Detail; the loop sets the segment aside before the
// core hears of it, and adds which records it held.
type SegmentDamaged struct {
	Journal  holdfast.Journal
	Epoch    holdfast.Epoch
	First    holdfast.Seq // records First to To-1 cannot be read now
	To       holdfast.Seq
	File     string
	Offset   int64
	Detail   string
	SetAside bool // by the loop
}

// Fetched: an answer to a [Fetch]. The shell fills in Frames or Err; the loop
// puts the frames into the journal before the core hears of it, and says in Err
// why it could not.
type Fetched struct {
	Fetch
	Frames []byte
	Err    string // "" when the records can be read again
	Gone   bool   // nothing is missing there any more: it was pruned
}

// SnapshotStored: a snapshot that [Ready] asked for is durable.
type SnapshotStored struct {
	Size uint64
	Hash holdfast.Hash
}

// Book: an answer to a [BookRequest]. It holds tokens in clear: nothing of it
// may be logged.
type Book struct {
	Version uint64 // of the access list that the tokens are on
	Tokens  []uplink.BookToken
	Stored  bool   // it is the copy on this disk; Version 0: there is none
	Err     string // "" when it worked
}

// Quit: the process is asked to end in order. The core notes it, so that the
// next boot knows that this one did not end in a power cut.
type Quit struct{}

func (Connected) input()        {}
func (Disconnected) input()     {}
func (Frame) input()            {}
func (Refused) input()          {}
func (Tick) input()             {}
func (Signed) input()           {}
func (LinkUp) input()           {}
func (LinkDown) input()         {}
func (UploadDone) input()       {}
func (Directives) input()       {}
func (Told) input()             {}
func (Space) input()            {}
func (Committed) input()        {}
func (CheckpointSigned) input() {}
func (Unreadable) input()       {}
func (SegmentDamaged) input()   {}
func (Fetched) input()          {}
func (SnapshotStored) input()   {}
func (Book) input()             {}
func (Quit) input()             {}
func (CutOut) input()           {}
func (CutOutRelease) input()    {}

// Ready is what the core wants done, in this order: Keys and Records are
// appended and synced first (one sync for all); only then may anything else be
// released. A crash in between loses nothing that anybody was told.
type Ready struct {
	Records []Append // both journals, in order
	Sends   []Send
	Closes  []Close
	Signs   []SignRequest
	Asks    []Ask

	Checkpoint bool          // sign and append a checkpoint of the evidence journal
	Snapshot   bool          // store Gateway.Snapshot and step SnapshotStored
	Route      *uplink.Route // every call from here on goes this way; zero: hang up, there will be none
	Hello      *uplink.Hello
	Probe      *uplink.Route // look whether this route works, and step Probed
	Upload     *Upload
	Fetch      *Fetch
	Prune      []Prune
	Book       *BookRequest
	KeepBook   *KeepBook
	Outputs    []Output

	// Restart asks the loop to discard this core and recover into a new epoch:
	// the cloud holds records that this disk has lost.
	Restart *Restart
}

// A Restart says why a new epoch is needed.
type Restart struct {
	Reason record.EpochReason
	Detail string
}

// An Append is a frame for a journal. Key frames (the wrapped key of a sealed
// field) and checkpoints are not leaves and take no Seq.
type Append struct {
	Journal    holdfast.Journal
	Key        bool
	Checkpoint bool
	Lazy       bool         // no answer rests on it: telemetry that evidence of the same message says too. It may be synced up to a tick later
	Seq        holdfast.Seq // of a record; the loop checks it
	Bytes      []byte
}

// A Send is a frame to a charger.
type Send struct {
	Conn ConnID
	Raw  []byte
}

// A Close ends a charger's connection.
type Close struct {
	Conn   ConnID
	Code   int // WebSocket status
	Reason string
}

// A SignRequest asks the device key for a statement.
type SignRequest struct {
	ID      uint64
	Typ     string // statement typ
	Payload []byte // CBOR
}

// An Ask is an online authorisation; the shell answers with [Told] within
// uplink.MaxAskWaitMillis.
type Ask struct {
	ID  uint64
	Ask uplink.Ask
}

// An Upload asks for one slice. The shell reads it from the journal, sends it
// and steps [UploadDone] or [LinkDown]. At most one is under way.
type Upload struct {
	Journal holdfast.Journal
	Epoch   holdfast.Epoch
	First   holdfast.Seq
}

// A Fetch asks for the cloud's copy of records [First, To), which cannot be
// read here; the shell answers with [Fetched]. At most one is under way.
type Fetch struct {
	Journal holdfast.Journal
	Epoch   holdfast.Epoch
	First   holdfast.Seq
	To      holdfast.Seq
}

// A BookRequest asks for the tokens of the site's access list in clear; the
// shell answers with [Book]. At most one is under way.
type BookRequest struct {
	Stored  bool   // the copy on this disk, if there is one
	Version uint64 // otherwise: from the cloud, of this version of the list
}

// A KeepBook is to be written to the disk, sealed, in place of what is there. It
// may get lost: the book is asked for again.
type KeepBook struct {
	Version uint64
	Tokens  []uplink.BookToken
}

// A Prune says that records before Before are reconciled and past the backup
// horizon.
type Prune struct {
	Journal holdfast.Journal
	Epoch   holdfast.Epoch
	Before  holdfast.Seq
}

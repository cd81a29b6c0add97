package journal_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/journal"
)

// fixedKey is the key of the vectors; it is published.
func fixedKey() (*ecdsa.PrivateKey, error) {
	d, err := hex.DecodeString(vector.PrivateKey)
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
}

func testKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := fixedKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testEpoch(n byte) (e holdfast.Epoch) {
	for i := range e {
		e[i] = n
	}
	return e
}

func testIdentity() journal.Identity {
	return journal.Identity{Gateway: "gw-1", Journal: holdfast.Evidence, Epoch: testEpoch(0xe1)}
}

func body(i int) []byte { return fmt.Appendf(nil, `{"v":1,"t":"test","n":%d,"d":{}}`, i) }

func create(t testing.TB, fs journal.FS, o journal.Options) *journal.Log {
	t.Helper()
	l, err := journal.Create(fs, testIdentity(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reopen(t testing.TB, fs journal.FS, o journal.Options) (*journal.Log, journal.Recovery) {
	t.Helper()
	l, r, err := journal.Open(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return l, r
}

func appendAll(t testing.TB, l *journal.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Append(journal.Record, body(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func sync(t testing.TB, l *journal.Log) {
	t.Helper()
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

// checkpoint signs the head and appends the note.
func checkpoint(t testing.TB, l *journal.Log, key crypto.Signer) {
	t.Helper()
	size, root := l.Head()
	origin := l.Identity().Origin()
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(journal.Checkpoint, note); err != nil {
		t.Fatal(err)
	}
}

// records reads every record of an epoch from a Seq on.
func records(t testing.TB, l *journal.Log, e holdfast.Epoch, from holdfast.Seq) [][]byte {
	t.Helper()
	var out [][]byte
	err := l.Read(e, from, func(f journal.Frame) error {
		if f.Kind != journal.Record {
			return nil
		}
		if want := int(from) + len(out); int(f.Seq) != want {
			t.Fatalf("record %d came where %d was due", f.Seq, want)
		}
		out = append(out, bytes.Clone(f.Body))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantRecords(t testing.TB, l *journal.Log, n int) {
	t.Helper()
	got := records(t, l, l.Identity().Epoch, 0)
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
	for i, b := range got {
		if !bytes.Equal(b, body(i)) {
			t.Fatalf("record %d is %q", i, b)
		}
	}
}

func wantClean(t testing.TB, r journal.Recovery) {
	t.Helper()
	if r.Torn != nil || r.Lost != nil || len(r.Quarantined) > 0 || len(r.Rewritten) > 0 {
		t.Fatalf("recovery of a clean journal: %+v", r)
	}
}

func wantVerified(t testing.TB, fs journal.FS, pub *ecdsa.PublicKey) journal.Report {
	t.Helper()
	rep, err := journal.Verify(fs, pub)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() {
		t.Fatalf("problems: %v", rep.Problems)
	}
	return rep
}

func TestWriteReopenRead(t *testing.T) {
	disk := faultfs.New()
	o := journal.Options{SegmentBytes: 2048}
	key := testKey(t)
	l := create(t, disk, o)
	for i := 0; i < 200; i += 5 {
		appendAll(t, l, i, i+5)
		sync(t, l)
		if i%50 == 0 {
			checkpoint(t, l, key)
			sync(t, l)
		}
	}
	size, root := l.Head()
	if size != 200 || l.Next() != 200 {
		t.Fatalf("head %d, next %d, want 200", size, l.Next())
	}
	wantRecords(t, l, 200)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l, r := reopen(t, disk, o)
	wantClean(t, r)
	wantRecords(t, l, 200)
	if s, rt := l.Head(); s != size || rt != root {
		t.Fatalf("head after reopen is %d %s, want %d %s", s, rt, size, root)
	}
	appendAll(t, l, 200, 210)
	sync(t, l)
	wantRecords(t, l, 210)
	if n := len(l.Segments()); n < 5 {
		t.Fatalf("%d segments, want several", n)
	}
	rep := wantVerified(t, disk, &key.PublicKey)
	if rep.Epochs[0].Records != 210 || rep.Epochs[0].Signed != 155 {
		t.Fatalf("verified %d records, %d signed", rep.Epochs[0].Records, rep.Epochs[0].Signed)
	}
}

func TestCreateRefusesASecondJournal(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	if _, _, err := journal.Open(disk, journal.Options{}); !errors.Is(err, faultfs.ErrLocked) {
		t.Fatalf("open beside an open journal: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Create(disk, testIdentity(), journal.Options{}); !errors.Is(err, journal.ErrExists) {
		t.Fatalf("second create: %v", err)
	}
	if _, _, err := journal.Open(faultfs.New(), journal.Options{}); !errors.Is(err, journal.ErrNone) {
		t.Fatalf("open of an empty directory: %v", err)
	}
}

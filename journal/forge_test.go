package journal_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// The forgeries of somebody who makes every checksum right.

// wantProblem verifies and wants one of the problems to say what.
func wantProblem(t *testing.T, disk journal.FS, pub *ecdsa.PublicKey, what string) {
	t.Helper()
	rep, err := journal.Verify(disk, pub)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Problems {
		if strings.Contains(p.String(), what) {
			return
		}
	}
	t.Fatalf("no problem says %q: %v", what, rep.Problems)
}

func TestForgedRecordBreaksTheSeal(t *testing.T) {
	disk := mutant(t, true)
	const name = "00000001-0000000000000000.seg"
	b := bytes.Replace(disk.Bytes(name), body(2), bytes.Replace(body(2), []byte(`"n":2`), []byte(`"n":7`), 1), 1)
	disk.Put(name, forge(b))
	wantProblem(t, disk, nil, "seal's tree is not the tree of the records")
	info := journal.SegmentInfo{Name: name, End: 20, Bytes: int64(len(b)), Sealed: true}
	if err := journal.CheckSegment(disk, info); err == nil {
		t.Fatal("the background check found nothing")
	}
}

// other is a journal of the same identity with other records.
func other(t *testing.T, n int) *faultfs.Disk {
	t.Helper()
	disk := faultfs.New()
	l := create(t, disk, small)
	for i := range n {
		if err := l.Append(journal.Record, bytes.Replace(body(i), []byte("test"), []byte("fake"), 1)); err != nil {
			t.Fatal(err)
		}
		sync(t, l)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestSplicedSegmentDoesNotJoin(t *testing.T) {
	disk := faultfs.New()
	l := segmented(t, disk, 60)
	segs := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	fake := other(t, 60)
	for i, s := range segs {
		spliced := disk.Clone()
		spliced.Put(s.Name, fake.Bytes(s.Name))
		if rep, err := journal.Verify(spliced, nil); err != nil || rep.OK() {
			t.Errorf("segment %d of another journal verifies: %v", i, err)
		}
		l, r := reopen(t, spliced, small)
		if r.Lost == nil && len(r.Quarantined) == 0 {
			t.Errorf("segment %d of another journal is taken in: %+v", i, r)
		}
		err := l.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	// The first segment of another journal is whole in itself, and nothing comes
	// before it: only what follows tells.
	spliced := disk.Clone()
	spliced.Put(segs[0].Name, fake.Bytes(segs[0].Name))
	wantProblem(t, spliced, nil, "does not continue")
}

func TestCheckpointOfOtherRecordsDoesNotVerify(t *testing.T) {
	disk, key := faultfs.New(), testKey(t)
	l := create(t, disk, small)
	origin := l.Identity().Origin()
	appendAll(t, l, 0, 4)
	sync(t, l)
	_, root := l.Head()
	root[0] ^= 1
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, 4, root), origin, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 4, 6)
	sync(t, l)
	// The journal no longer knows the root of size 4, and takes the note.
	if err := l.Append(journal.Checkpoint, note); err != nil {
		t.Fatal(err)
	}
	sync(t, l)
	wantProblem(t, disk, &key.PublicKey, "checkpoint of size 4 signs root")
	wantProblem(t, disk, nil, "checkpoint of size 4 signs root")
}

func TestCheckpointOfAnotherKeyDoesNotVerify(t *testing.T) {
	disk := mutant(t, true)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, disk, &stranger.PublicKey, "00000001-0000000000000014.seg at offset")
	wantVerified(t, disk, nil)
}

// TestLostBlock zeroes one whole sector, as a disk that lost a write does: in
// acknowledged history it is damage although it looks like a torn write, because
// later writes follow.
func TestLostBlock(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	for i := range 60 {
		appendAll(t, l, i, i+1)
		sync(t, l)
	}
	name := l.Segments()[0].Name
	disk = disk.Clone()
	b := disk.Bytes(name)
	clear(b[1024:1536])
	disk.Put(name, b)
	l, r := reopen(t, disk, journal.Options{})
	if r.Lost == nil || r.Torn != nil || r.Lost.Beyond == 0 {
		t.Fatalf("recovery: %+v", r)
	}
	if err := readable(l); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, disk, nil, name)
}

// TestNewEpochIsRemembered loses the new epoch's only file.
func TestNewEpochIsRemembered(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	appendAll(t, l, 0, 3)
	sync(t, l)
	if err := l.NewEpoch(testEpoch(2), "test"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 0, 3)
	sync(t, l)
	disk = disk.Clone()
	disk.Put("00000002-0000000000000000.seg", nil)
	wantProblem(t, disk, nil, "00000002-0000000000000000.seg")
	l, r := reopen(t, disk, journal.Options{})
	if r.Lost == nil || r.Lost.Epoch != testEpoch(2) {
		t.Fatalf("recovery: %+v", r)
	}
	if err := l.NewEpoch(testEpoch(3), "lost"); err != nil {
		t.Fatal(err)
	}
	if id := l.Identity(); id.Parent != testEpoch(2) || id.ParentSize != 0 {
		t.Fatalf("new epoch: %+v", id)
	}
	appendAll(t, l, 0, 2)
	sync(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, r = reopen(t, disk, journal.Options{})
	if r.Lost != nil {
		t.Fatalf("recovery: %+v", r)
	}
	wantRecords(t, l, 2)
}

// TestNewerFormatIsLeftAlone: a journal of the next version is no damage. The
// software says why it cannot read it and touches nothing.
func TestNewerFormatIsLeftAlone(t *testing.T) {
	for _, name := range []string{"00000001-0000000000000000.seg", "00000002-0000000000000000.seg", "head"} {
		disk := mutant(t, true)
		b := disk.Bytes(name)
		b[9] = 2
		if name == "head" {
			table := crc32.MakeTable(crc32.Castagnoli)
			binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], table))
		} else {
			b = forge(b)
		}
		disk.Put(name, b)
		before := mustNames(t, disk)
		if _, _, err := journal.Open(disk, small); !errors.Is(err, journal.ErrVersion) || !strings.Contains(err.Error(), name) {
			t.Errorf("open: %v", err)
		}
		if _, err := journal.Verify(disk, nil); !errors.Is(err, journal.ErrVersion) {
			t.Errorf("verify: %v", err)
		}
		if after := mustNames(t, disk); !slices.Equal(before, after) || !bytes.Equal(disk.Bytes(name), b) {
			t.Errorf("the directory was changed: %v, then %v", before, after)
		}
	}
}

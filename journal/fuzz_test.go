package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// FuzzSegment gives recovery and verification any bytes as the only segment, and
// again as an older segment. Nothing may panic; what opens without a word must
// verify, and opens again to the same head; what was cut is kept.
func FuzzSegment(f *testing.F) {
	dir := filepath.Join("testdata", "small")
	list, err := os.ReadDir(dir)
	if err != nil {
		f.Fatal(err)
	}
	small := map[string][]byte{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		small[e.Name()] = b
		f.Add(b)
	}
	const first, second = "00000001-0000000000000000.seg", "00000001-0000000000000008.seg"
	f.Add(small[first][:300])
	f.Add(small[first][:700])
	f.Add(append(bytes.Clone(small[first][:700]), make([]byte, 600)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		alone := faultfs.New()
		alone.Put(first, b)
		fuzzOpen(t, alone)
		old := faultfs.New()
		for n, b := range small {
			old.Put(n, b)
		}
		old.Put(second, b)
		fuzzOpen(t, old)
		forged := forge(b)
		alone = faultfs.New()
		alone.Put(first, forged)
		fuzzOpen(t, alone)
		old = faultfs.New()
		for n, b := range small {
			old.Put(n, b)
		}
		old.Put(second, forged)
		fuzzOpen(t, old)
	})
}

// forge makes the checksums of the header and of every frame right, as somebody
// would who wants to be believed.
func forge(b []byte) []byte {
	b = bytes.Clone(b)
	table := crc32.MakeTable(crc32.Castagnoli)
	if len(b) < 256 {
		return b
	}
	binary.BigEndian.PutUint32(b[252:], crc32.Checksum(b[:252], table))
	for rest := b[256:]; len(rest) >= 20; {
		n := binary.BigEndian.Uint32(rest)
		if uint64(n) > uint64(len(rest)-20) {
			break
		}
		crc := crc32.Update(crc32.Checksum(rest[:16], table), table, rest[20:20+n])
		binary.BigEndian.PutUint32(rest[16:], crc)
		rest = rest[20+n:]
	}
	return b
}

func fuzzOpen(t *testing.T, disk *faultfs.Disk) {
	before := disk.Clone()
	rep, err := journal.Verify(disk, nil)
	if errors.Is(err, journal.ErrVersion) {
		if _, _, err := journal.Open(disk, journal.Options{}); !errors.Is(err, journal.ErrVersion) {
			t.Fatalf("open of another version: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	l, r, err := journal.Open(disk, journal.Options{})
	if err != nil {
		if !errors.Is(err, journal.ErrCorrupt) {
			t.Fatalf("open: %v", err)
		}
		if rep.OK() {
			t.Fatalf("verifies, but does not open: %v", err)
		}
		return
	}
	if rep.OK() && (r.Lost != nil || len(r.Quarantined) > 0) && !onlyHead(r) {
		t.Fatalf("verifies, but recovery finds %+v", r)
	}
	kept(t, before, disk)
	if r.Lost != nil {
		if err := l.NewEpoch(testEpoch(0x77), "fuzz"); err != nil {
			t.Fatal(err)
		}
		kept(t, before, disk)
	}
	size, root := l.Head()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, r, err = journal.Open(disk, journal.Options{})
	if err != nil || r.Lost != nil || r.Torn != nil {
		t.Fatalf("second open: %v %+v", err, r)
	}
	if s, rt := l.Head(); s != size || rt != root {
		t.Fatalf("second open: head %d %s, first %d %s", s, rt, size, root)
	}
}

func onlyHead(r journal.Recovery) bool {
	return r.Lost == nil && len(r.Quarantined) == 1 && r.Quarantined[0].Name == "head"
}

// kept checks that no byte was thrown away: every file is there as it was, or
// begins one that is, and what was behind is in a copy.
func kept(t *testing.T, before, after *faultfs.Disk) {
	t.Helper()
	var files [][]byte
	for _, n := range mustNames(t, after) {
		files = append(files, after.Bytes(n))
	}
	for _, n := range mustNames(t, before) {
		if n == "head" {
			continue
		}
		b, found := before.Bytes(n), false
		for _, f := range files {
			found = found || bytes.HasPrefix(f, b)
		}
		if cut := after.Bytes(n); !found && cut != nil {
			for _, m := range mustNames(t, after) {
				tail := after.Bytes(m)
				found = found || strings.Contains(m, ".torn-") && len(tail) <= len(b) &&
					bytes.HasSuffix(b, tail) && bytes.HasPrefix(cut, b[:len(b)-len(tail)])
			}
		}
		if !found {
			t.Fatalf("bytes of %s were thrown away", n)
		}
	}
}

// FuzzParseSlice: whatever is accepted is frames in order that add up to the
// input, byte for byte.
func FuzzParseSlice(f *testing.F) {
	disk := faultfs.New()
	l := create(f, disk, journal.Options{})
	appendAll(f, l, 0, 3)
	if err := l.Append(journal.Key, []byte(`{}`)); err != nil {
		f.Fatal(err)
	}
	appendAll(f, l, 3, 5)
	sync(f, l)
	checkpoint(f, l, testKey(f))
	sync(f, l)
	for from := range 6 {
		b, err := l.Slice(testIdentity().Epoch, holdfast.Seq(from), 4096)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(from))
	}
	f.Add([]byte{}, uint64(0))
	f.Add([]byte("\xff\xff\xff\xff\x01\x00\x00\x00"), uint64(1<<63))
	f.Fuzz(func(t *testing.T, b []byte, first uint64) {
		frames, err := journal.ParseSlice(b, holdfast.Seq(first))
		if err != nil {
			if !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		n, next := 0, first
		for _, f := range frames {
			n += 20 + len(f.Body)
			if len(f.Body) > journal.MaxBody {
				t.Fatal("a body beyond the bound")
			}
			switch f.Kind {
			case journal.Record:
				if uint64(f.Seq) != next {
					t.Fatal("a gap was accepted")
				}
				next++
			case journal.Checkpoint, journal.Key:
			default:
				t.Fatalf("a %v frame was accepted", f.Kind)
			}
		}
		if n != len(b) {
			t.Fatal("bytes were skipped")
		}
	})
}

// FuzzCheckpoint: a note that verifies says what the key signed, and nothing
// panics.
func FuzzCheckpoint(f *testing.F) {
	key, origin := testKey(f), testIdentity().Origin()
	good, err := journal.SignCheckpoint(journal.CheckpointText(origin, 42, holdfast.Hash{42}), origin, key, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(origin + "\n1\nAAAA\n\n— x AAAAAA==\n"))
	f.Add([]byte("\n\n\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		gotOrigin, readSize, readRoot, rerr := journal.ReadCheckpoint(b)
		size, root, err := journal.VerifyCheckpoint(b, origin, &key.PublicKey)
		if err != nil {
			return
		}
		if size != 42 || root != (holdfast.Hash{42}) {
			t.Fatalf("a forged checkpoint of size %d verifies", size)
		}
		if rerr != nil || gotOrigin != origin || readSize != size || readRoot != root {
			t.Fatalf("read and verified differ: %v", rerr)
		}
	})
}

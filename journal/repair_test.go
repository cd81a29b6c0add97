package journal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// segmented writes n records in one-record writes over many segments.
func segmented(t testing.TB, disk *faultfs.Disk, n int) *journal.Log {
	t.Helper()
	l := create(t, disk, small)
	for i := range n {
		appendAll(t, l, i, i+1)
		sync(t, l)
	}
	return l
}

func TestQuarantineAndRepair(t *testing.T) {
	disk := faultfs.New()
	l := segmented(t, disk, 120)
	segs := l.Segments()
	epoch := l.Identity().Epoch
	if len(segs) < 5 {
		t.Fatalf("%d segments", len(segs))
	}
	copies := map[string][]byte{} // the cloud's copies
	for _, s := range segs {
		var all []byte
		for from := s.First; from < s.End; {
			b, err := l.Slice(epoch, from, 300)
			if err != nil {
				t.Fatal(err)
			}
			frames, err := journal.ParseSlice(b, from)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames {
				if f.Seq < s.End {
					from = f.Seq + 1
				}
			}
			all = append(all, b...)
		}
		frames, err := journal.ParseSlice(all, s.First)
		if err != nil {
			t.Fatal(err)
		}
		n := 0 // cut what belongs to the next segment
		for _, f := range frames {
			if f.Seq < s.End {
				n += 20 + len(f.Body)
			}
		}
		copies[s.Name] = all[:n]
	}
	size, root := l.Head()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, hurt := range [][]int{{0}, {1}, {2, 3}, {1, 3}} {
		disk := disk.Clone()
		for _, i := range hurt {
			b := disk.Bytes(segs[i].Name)
			b[len(b)/2] ^= 1
			disk.Put(segs[i].Name, b)
			if err := journal.CheckSegment(disk, segs[i]); !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("background check of a damaged segment: %v", err)
			}
		}
		l, r := reopen(t, disk, small) // does not read sealed segments whole
		if r.Lost != nil || r.Torn != nil {
			t.Fatalf("recovery: %+v", r)
		}
		for _, i := range hurt {
			var d *journal.Damage
			if err := journal.CheckSegment(disk, segs[i]); !errors.As(err, &d) {
				t.Fatalf("background check: %v", err)
			}
			q, err := l.Quarantine(d)
			if err != nil || q.From != segs[i].First || q.To != segs[i].End {
				t.Fatalf("quarantine: %+v, %v", q, err)
			}
		}
		if err := readable(l); err != nil {
			t.Fatal(err)
		}
		if s, rt := l.Head(); s != size || rt != root {
			t.Fatal("quarantine changed the head")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, r = reopen(t, disk, small)
		gaps := l.Gaps()
		if len(r.Quarantined) != len(gaps) || len(gaps) == 0 {
			t.Fatalf("recovery reports %+v, gaps %+v", r.Quarantined, gaps)
		}
		if rep, err := journal.Verify(disk, nil); err != nil || rep.OK() {
			t.Fatalf("a gap verifies: %v", err)
		}
		for _, g := range gaps {
			var b []byte
			for _, s := range segs {
				if s.First >= g.From && s.End <= g.To {
					b = append(b, copies[s.Name]...)
				}
			}
			wrong := bytes.Clone(b)
			wrong[len(wrong)-1] ^= 1
			if err := l.ReplaceSegment(g.Epoch, g.From, wrong); err == nil {
				t.Fatal("a wrong copy was believed")
			}
			forged := reframe(t, b, g.From)
			if err := l.ReplaceSegment(g.Epoch, g.From, forged); !errors.Is(err, journal.ErrCorrupt) {
				t.Fatalf("a copy with another record was believed: %v", err)
			}
			if err := l.ReplaceSegment(g.Epoch, g.From, b); err != nil {
				t.Fatal(err)
			}
		}
		wantRecords(t, l, 120)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, r = reopen(t, disk, small)
		wantClean(t, r)
		wantRecords(t, l, 120)
		wantVerified(t, disk, nil)
	}
}

// reframe returns the slice with its first record changed and its checksum
// right.
func reframe(t testing.TB, b []byte, first holdfast.Seq) []byte {
	t.Helper()
	frames, err := journal.ParseSlice(b, first)
	if err != nil {
		t.Fatal(err)
	}
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	for range first {
		if err := l.Append(journal.Record, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range frames {
		body := bytes.Clone(f.Body)
		if i == 0 {
			body[0] = '['
		}
		if err := l.Append(f.Kind, body); err != nil {
			t.Fatal(err)
		}
	}
	sync(t, l)
	out, err := l.Slice(l.Identity().Epoch, first, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPrune(t *testing.T) {
	disk := faultfs.New()
	l := segmented(t, disk, 120)
	epoch, segs := l.Identity().Epoch, l.Segments()
	before := l.Stats()
	if err := l.Prune(epoch, segs[2].First+1); err != nil {
		t.Fatal(err)
	}
	if e := l.Epochs()[0]; e.First != segs[2].First || e.Size != 120 {
		t.Fatalf("epoch after prune: %+v", e)
	}
	if s := l.Stats(); s.Bytes >= before.Bytes || s.Records != before.Records-uint64(segs[2].First) {
		t.Fatalf("stats %+v, before %+v", s, before)
	}
	var miss *journal.MissingError
	if err := l.Read(epoch, 0, func(journal.Frame) error { return nil }); !errors.As(err, &miss) || miss.To != segs[2].First {
		t.Fatalf("read of pruned records: %v", err)
	}
	if err := l.Prune(epoch, 1000); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Segments()); n != 1 {
		t.Fatalf("%d segments left, want the last", n)
	}
	if err := l.NewEpoch(testEpoch(2), ""); err != nil {
		t.Fatal(err)
	}
	if err := l.Prune(epoch, 119); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Epochs()); n != 2 {
		t.Fatalf("%d epochs, want 2: the last record of the first is still wanted", n)
	}
	if err := l.Prune(epoch, 120); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Epochs()); n != 1 {
		t.Fatalf("%d epochs, want 1", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, r := reopen(t, disk, small)
	wantClean(t, r)
	appendAll(t, l, 0, 1)
	sync(t, l)
	wantVerified(t, disk, nil)
}

func TestFullRefusesAndChangesNothing(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{MaxBytes: 40 << 10})
	n := 0
	for ; ; n++ {
		err := l.Append(journal.Record, body(n))
		if errors.Is(err, journal.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n%10 == 9 {
			sync(t, l)
		}
	}
	sync(t, l)
	wantRecords(t, l, n)
	if s := l.Stats(); s.Bytes > s.MaxBytes {
		t.Fatalf("%d bytes of %d", s.Bytes, s.MaxBytes)
	}
	wantVerified(t, disk, nil)
}

// TestDiskFull lets the file system itself run out.
func TestDiskFull(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, small)
	disk.SetCapacity(20 << 10)
	n := 0
	var err error
	for ; err == nil; n++ {
		if err = l.Append(journal.Record, body(n)); err == nil {
			err = l.Sync()
		}
	}
	n-- // the one that failed
	if !errors.Is(err, journal.ErrFailed) || l.Sync() == nil || l.Append(journal.Record, nil) == nil {
		t.Fatalf("a failed log goes on: %v", err)
	}
	disk.SetCapacity(0)
	l, r := reopen(t, disk, small)
	if r.Lost != nil {
		t.Fatalf("lost: %s", r.Lost)
	}
	if size, _ := l.Head(); int(size) < n {
		t.Fatalf("%d records, %d were acknowledged", size, n)
	}
	wantVerified(t, disk, nil)
}

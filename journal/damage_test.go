package journal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// mutant is the small journal that the mutation tests change: three segments,
// two epochs, a key, checkpoints; closed cleanly or stopped as by a kill.
func mutant(t testing.TB, closed bool) *faultfs.Disk {
	t.Helper()
	disk, key := faultfs.New(), testKey(t)
	l := create(t, disk, small)
	appendAll(t, l, 0, 3)
	sync(t, l)
	appendAll(t, l, 3, 20)
	sync(t, l)
	checkpoint(t, l, key)
	appendAll(t, l, 20, 23)
	sync(t, l) // in the second segment
	if err := l.NewEpoch(testEpoch(0xe2), "test"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 0, 2)
	sync(t, l)
	checkpoint(t, l, key)
	sync(t, l)
	if err := l.Append(journal.Key, []byte(`{"kid":"1","wrapped":"AA"}`)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 2, 4)
	sync(t, l)
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk.Clone()
}

// TestEveryBitIsCovered flips every bit of every file of a cleanly closed
// journal. Verification must find the change and name its file, and recovery
// must neither accept it nor call it a torn write; records in other segments
// stay readable.
func TestEveryBitIsCovered(t *testing.T) {
	t.Parallel()
	base := mutant(t, true)
	wantVerified(t, base, &testKey(t).PublicKey)
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, name := range mustNames(t, base) {
		whole := base.Bytes(name)
		for bit := 0; bit < 8*len(whole); bit += step {
			disk := base.Clone()
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			disk.Put(name, b)
			rep, err := journal.Verify(disk, nil) // a signature cannot help: checksums find it all
			if err != nil {
				t.Fatalf("%s bit %d: %v", name, bit, err)
			}
			if rep.OK() {
				t.Fatalf("%s bit %d: not detected (torn: %+v)", name, bit, rep.Torn)
			}
			if !located(rep.Problems, name, int64(bit/8)) {
				t.Fatalf("%s bit %d (offset %d): not located: %v", name, bit, bit/8, rep.Problems)
			}
			if bit%4 != bit/8%4 {
				continue // recovery has a quarter of the bits, two of each byte
			}
			l, r, err := journal.Open(disk, small)
			if err != nil {
				if errors.Is(err, journal.ErrCorrupt) {
					continue
				}
				t.Fatalf("%s bit %d: open: %v", name, bit, err)
			}
			if r.Torn != nil {
				t.Fatalf("%s bit %d: damage of acknowledged records was cut as torn", name, bit)
			}
			if err := readable(l); err != nil {
				t.Fatalf("%s bit %d: %v", name, bit, err)
			}
		}
	}
}

// located reports whether a problem names the file, at or before the place.
func located(ps []journal.Problem, name string, at int64) bool {
	for _, p := range ps {
		if p.Segment == name && p.Offset <= at {
			return true
		}
	}
	return false
}

// readable reads everything and checks that what comes is what was written.
func readable(l *journal.Log) error {
	for _, e := range l.Epochs() {
		from := e.First
		for {
			err := l.Read(e.Epoch, from, func(f journal.Frame) error {
				if f.Kind == journal.Record && !bytes.Equal(f.Body, body(int(f.Seq))) {
					return errors.New("a changed record was read: " + string(f.Body))
				}
				return nil
			})
			miss := (*journal.MissingError)(nil)
			if errors.As(err, &miss) && miss.To > from {
				from = miss.To
				continue
			}
			if err != nil && !errors.Is(err, journal.ErrCorrupt) {
				return err
			}
			break
		}
	}
	return nil
}

// TestEveryBitBehindTheHead flips every bit of the records that were acknowledged
// after the head was written last. Each is found at its place: as damage, or, when
// it cannot be told from the end of a torn write, as torn, and then no other
// record is given up.
func TestEveryBitBehindTheHead(t *testing.T) {
	t.Parallel()
	base := mutant(t, false)
	names := mustNames(t, base)
	tail := names[len(names)-2]
	whole := base.Bytes(tail)
	from := bytes.LastIndex(whole, []byte("\xe2\x80\x94 holdfast/")) // behind the last checkpoint
	torn, damaged := 0, 0
	for bit := 8 * (from + 200); bit < 8*len(whole); bit++ {
		disk := base.Clone()
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		disk.Put(tail, b)
		rep, err := journal.Verify(disk, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !rep.OK() {
			if !located(rep.Problems, tail, int64(bit/8)) {
				t.Fatalf("bit %d: not located: %v", bit, rep.Problems)
			}
			damaged++
			continue
		}
		if rep.Torn == nil || rep.Torn.Offset > int64(bit/8) {
			t.Fatalf("bit %d (offset %d): not found: %+v", bit, bit/8, rep.Torn)
		}
		torn++
		l, r, err := journal.Open(disk, small)
		if err != nil || r.Torn == nil || *r.Torn != (journal.Torn{Segment: tail, Offset: rep.Torn.Offset, Bytes: rep.Torn.Bytes, Aside: r.Torn.Aside}) {
			t.Fatalf("bit %d: recovery %+v, %v", bit, r, err)
		}
		if got := disk.Bytes(r.Torn.Aside); !bytes.Equal(got, b[r.Torn.Offset:]) {
			t.Fatalf("bit %d: the bytes cut off are not kept", bit)
		}
		if err := readable(l); err != nil {
			t.Fatal(err)
		}
	}
	// Only the length of the last frame can look like an end that is missing.
	if damaged == 0 || torn > 20 {
		t.Fatalf("%d found as damage, %d as torn", damaged, torn)
	}
}

// TestTruncationAtEveryByte cuts every file at every length. Of a sealed segment
// and of what the head remembers every cut is detected; what lies behind the
// head may be cut only as a torn write, whose records are a whole prefix.
func TestTruncationAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		base := mutant(t, closed)
		names := mustNames(t, base)
		tail := names[len(names)-2]
		if !strings.HasPrefix(tail, "00000002-") {
			t.Fatalf("tail is %s of %v", tail, names)
		}
		for _, name := range names {
			whole := base.Bytes(name)
			for n := range whole {
				disk := base.Clone()
				disk.Put(name, whole[:n])
				rep, err := journal.Verify(disk, nil)
				if err != nil {
					t.Fatalf("%s cut at %d: %v", name, n, err)
				}
				l, r, err := journal.Open(disk, small)
				if err != nil && !errors.Is(err, journal.ErrCorrupt) {
					t.Fatalf("%s cut at %d: %v", name, n, err)
				}
				if !rep.OK() {
					if err == nil && r.Lost == nil && len(r.Quarantined) == 0 {
						t.Fatalf("%s cut at %d: verification found %v, recovery nothing", name, n, rep.Problems)
					}
					continue
				}
				if closed || name != tail {
					t.Fatalf("%s cut at %d: not detected", name, n)
				}
				if size, _ := l.Head(); size < 2 {
					t.Fatalf("cut at %d: %d records, but the head remembered 2", n, size)
				}
				if err := readable(l); err != nil {
					t.Fatalf("cut at %d: %v", n, err)
				}
				if t := r.Torn; t != nil && !bytes.Equal(disk.Bytes(t.Aside), whole[t.Offset:n]) {
					panic("the bytes cut off are not kept")
				}
			}
		}
	}
}

// TestFilesMissingRenamedDuplicated loses, swaps and copies whole files.
func TestFilesMissingRenamedDuplicated(t *testing.T) {
	base := mutant(t, true)
	var segs []string
	for _, n := range mustNames(t, base) {
		if strings.HasSuffix(n, ".seg") {
			segs = append(segs, n)
		}
	}
	if len(segs) != 3 {
		t.Fatalf("segments: %v", segs)
	}
	found := func(what string, disk *faultfs.Disk) {
		t.Helper()
		rep, err := journal.Verify(disk, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.OK() {
			t.Errorf("%s: verification found nothing", what)
		}
		l, r, err := journal.Open(disk, small)
		if err != nil {
			if !errors.Is(err, journal.ErrCorrupt) {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		if r.Lost == nil && len(r.Quarantined) == 0 {
			t.Errorf("%s: recovery found nothing", what)
		}
		if err := readable(l); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, a := range append(segs, "head") {
		disk := base.Clone()
		disk.Put(a, nil)
		found(a+" missing", disk)
		for _, b := range segs {
			if a == b || a == "head" {
				continue
			}
			disk = base.Clone()
			disk.Put(a, base.Bytes(b))
			found(b+" in the place of "+a, disk)
			disk.Put(b, base.Bytes(a))
			disk = base.Clone()
			disk.Put(a, base.Bytes(b))
			disk.Put(b, base.Bytes(a))
			found(a+" and "+b+" swapped", disk)
		}
	}
	disk := base.Clone()
	disk.Put("00000001-0000000000000002.seg", base.Bytes(segs[0]))
	found("duplicate under another name", disk)
}

// TestLostHistoryBeginsANewEpoch damages an acknowledged record in the last
// segment, with records behind it.
func TestLostHistoryBeginsANewEpoch(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	for i := range 10 {
		appendAll(t, l, i, i+1)
		sync(t, l)
	}
	name := l.Segments()[0].Name
	b := disk.Bytes(name)
	at := bytes.Index(b, body(4))
	b[at+3] ^= 0x40
	disk = disk.Clone()
	disk.Put(name, b)

	l, r := reopen(t, disk, journal.Options{})
	lost := r.Lost
	if lost == nil || lost.Vouched != 4 || lost.Beyond != 5 || lost.Segment != name || lost.Offset != int64(at-20) {
		t.Fatalf("lost: %+v", lost)
	}
	if err := l.Append(journal.Record, body(4)); !errors.Is(err, journal.ErrLost) {
		t.Fatalf("append to a log that lost history: %v", err)
	}
	wantRecords(t, l, 4)
	// Until a new epoch begins every Open says so.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, r = reopen(t, disk, journal.Options{})
	if r.Lost == nil || r.Lost.Vouched != 4 {
		t.Fatalf("second recovery: %+v", r)
	}
	old, oldRoot := l.Head()
	first := l.Identity().Epoch
	if err := l.NewEpoch(testEpoch(0xe2), "lost history"); err != nil {
		t.Fatal(err)
	}
	id := l.Identity()
	if id.Parent != first || id.ParentSize != old || id.ParentRoot != oldRoot || l.Next() != 0 {
		t.Fatalf("new epoch: %+v", id)
	}
	appendAll(t, l, 0, 3)
	sync(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if kept := disk.Bytes(name + ".bad-0"); !bytes.Equal(kept, b) {
		t.Fatal("the damaged segment was not kept byte for byte")
	}
	l, r = reopen(t, disk, journal.Options{})
	wantClean(t, r)
	wantRecords(t, l, 3)
	if got := records(t, l, first, 0); len(got) != 4 {
		t.Fatalf("%d records of the old epoch, want 4", len(got))
	}
	rep := wantVerified(t, disk, nil)
	if len(rep.Asides) != 1 || rep.Epochs[1].Reason != "lost history" {
		t.Fatalf("report: %+v", rep)
	}
}

// TestHeadRemembersWhatTheSegmentLost cuts acknowledged records off so that the
// rest looks whole.
func TestHeadRemembersWhatTheSegmentLost(t *testing.T) {
	disk := faultfs.New()
	l := create(t, disk, journal.Options{})
	appendAll(t, l, 0, 2)
	sync(t, l)
	whole := l.Segments()[0]
	appendAll(t, l, 2, 5)
	sync(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	disk = disk.Clone()
	disk.Put(whole.Name, disk.Bytes(whole.Name)[:whole.Bytes])
	l, r := reopen(t, disk, journal.Options{})
	if r.Lost == nil || r.Lost.Vouched != 2 || r.Lost.Acknowledged != 5 {
		t.Fatalf("recovery: %+v", r.Lost)
	}
	if err := l.NewEpoch(testEpoch(2), ""); err != nil {
		t.Fatal(err)
	}
	wantVerified(t, disk, nil)
}

package journal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
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

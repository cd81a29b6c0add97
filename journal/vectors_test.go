package journal_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/journal"
)

func newDisk() *faultfs.Disk { return faultfs.New() }

// A smallVector is testdata/small.json: what another implementation must compute from
// testdata/small.
type smallVector struct {
	Origin      string          `json:"origin"`
	PublicKey   string          `json:"public_key"` // PEM, PKIX
	Leaves      []holdfast.Hash `json:"leaves"`
	Roots       []holdfast.Hash `json:"roots"` // of size 0, 1, 2, ...
	Checkpoints []string        `json:"checkpoints"`
	Slice       vector.Hex      `json:"slice"` // what travels from record 3 on
	Parent      struct {
		Epoch holdfast.Epoch `json:"epoch"`
		Size  uint64         `json:"size"`
		Root  holdfast.Hash  `json:"root"`
	} `json:"parent"` // as the second epoch names it
}

// smallJournal writes the journal of the vectors: two epochs, three segments, a
// key frame, checkpoints by the test key, headers stamped with 2026-01-02.
func smallJournal(t testing.TB) (*faultfs.Disk, smallVector) {
	t.Helper()
	disk, key := faultfs.New(), testKey(t)
	o := journal.Options{SegmentBytes: journal.MinSegmentBytes, Clock: func() holdfast.UnixMilli { return 1_767_312_000_000 }}
	l := create(t, disk, o)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v := smallVector{Origin: l.Identity().Origin(), PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
	_, root := l.Head()
	v.Roots = append(v.Roots, root)
	for i := range 20 {
		if i == 4 {
			if err := l.Append(journal.Key, []byte(`{"kid":"0123456789abcdef","wrapped":"AA=="}`)); err != nil {
				t.Fatal(err)
			}
		}
		appendAll(t, l, i, i+1)
		sync(t, l)
		_, root := l.Head()
		v.Leaves, v.Roots = append(v.Leaves, holdfast.LeafHash(body(i))), append(v.Roots, root)
		if i == 4 || i == 19 {
			checkpoint(t, l, key)
			sync(t, l)
		}
	}
	if v.Slice, err = l.Slice(l.Identity().Epoch, 3, 700); err != nil {
		t.Fatal(err)
	}
	if err := l.Read(l.Identity().Epoch, 0, func(f journal.Frame) error {
		if f.Kind == journal.Checkpoint {
			v.Checkpoints = append(v.Checkpoints, string(f.Body))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.NewEpoch(testEpoch(0xe2), "restored"); err != nil {
		t.Fatal(err)
	}
	id := l.Identity()
	v.Parent.Epoch, v.Parent.Size, v.Parent.Root = id.Parent, id.ParentSize, id.ParentRoot
	appendAll(t, l, 0, 2)
	sync(t, l)
	checkpoint(t, l, key)
	sync(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, v
}

// TestVectors holds the bytes still: what this software writes is, byte for byte,
// what testdata has; what testdata has opens, verifies and reads.
func TestVectors(t *testing.T) {
	disk, v := smallJournal(t)
	dir := filepath.Join("testdata", "small")
	vector.Check(t, "small.json", v)
	names := mustNames(t, disk)
	if f := flag.Lookup("rewrite"); f.Value.String() == "true" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if err := os.WriteFile(filepath.Join(dir, n), disk.Bytes(n), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := faultfs.New()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		stored.Put(e.Name(), b)
		if !bytes.Equal(b, disk.Bytes(e.Name())) {
			t.Errorf("%s is not what this software writes", e.Name())
		}
	}
	if len(list) != len(names) {
		t.Fatalf("%d files in %s, want %v", len(list), dir, names)
	}
	rep := wantVerified(t, stored, &testKey(t).PublicKey)
	if rep.Epochs[0].Signed != 20 || rep.Epochs[1].Signed != 2 {
		t.Fatalf("signed: %+v", rep.Epochs)
	}
	l, r := reopen(t, stored, journal.Options{})
	wantClean(t, r)
	wantRecords(t, l, 2)
	for i, b := range records(t, l, testEpoch(0xe1), 0) {
		if holdfast.LeafHash(b) != v.Leaves[i] {
			t.Fatalf("leaf %d differs", i)
		}
	}
	if frames, err := journal.ParseSlice(v.Slice, 3); err != nil || frames[0].Seq != 3 || frames[1].Kind != journal.Key {
		t.Fatalf("slice: %v", err)
	}
}

package faultfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

var _ journal.FS = (*faultfs.Disk)(nil)

func write(t *testing.T, d *faultfs.Disk, name string, b []byte, sync bool) {
	t.Helper()
	f, err := d.Append(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.Create(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, size); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

// A name without SyncDir and bytes without Sync are gone after the worst cut.
func TestUnsyncedIsLost(t *testing.T) {
	d := faultfs.New()
	write(t, d, "a", []byte("durable"), true)
	if err := d.SyncDir(); err != nil {
		t.Fatal(err)
	}
	write(t, d, "a", []byte(" and not"), false)
	write(t, d, "b", []byte("no name"), true)
	after := d.Restart(nil)
	if got := string(after.Bytes("a")); got != "durable" {
		t.Errorf("a is %q", got)
	}
	if got := after.Bytes("b"); got != nil {
		t.Errorf("b is %q", got)
	}
	if _, err := d.Names(); !errors.Is(err, faultfs.ErrPowerOff) {
		t.Errorf("the old disk goes on: %v", err)
	}
}

// Cuts leave every combination of sectors and lengths, and never anything that
// was not written: old bytes, new bytes or zeros in each sector.
func TestTornAtSectors(t *testing.T) {
	old, add := bytes.Repeat([]byte{1}, 700), bytes.Repeat([]byte{2}, 1500)
	seen := map[string]bool{}
	for seed := range uint64(400) {
		d := faultfs.New()
		write(t, d, "f", old, true)
		if err := d.SyncDir(); err != nil {
			t.Fatal(err)
		}
		write(t, d, "f", add, false)
		got := d.Restart(rand.New(rand.NewPCG(seed, 0))).Bytes("f")
		if len(got) < 700 || len(got) > 2200 || !bytes.Equal(got[:700], old) {
			t.Fatalf("seed %d: synced bytes changed", seed)
		}
		shape := ""
		for at := 700; at < len(got); {
			end := min((at/512+1)*512, len(got))
			switch s := got[at:end]; {
			case bytes.Equal(s, make([]byte, len(s))):
				shape += "0"
			case bytes.Equal(s, bytes.Repeat([]byte{2}, len(s))):
				shape += "2"
			default:
				t.Fatalf("seed %d: sector %d is torn inside: %v", seed, at/512, s)
			}
			at = end
		}
		seen[shape] = true
	}
	for _, want := range []string{"", "2222", "0000", "2020", "0222", "2", "22"} {
		if !seen[want] {
			t.Errorf("never saw %q among %d shapes", want, len(seen))
		}
	}
}

// After a sync that failed and did nothing, a second one succeeds and has not
// written the bytes either; writing them again helps.
func TestFailedSyncForgetsTheBytes(t *testing.T) {
	for _, again := range []bool{false, true} {
		d := faultfs.New()
		write(t, d, "f", []byte("one"), true)
		if err := d.SyncDir(); err != nil {
			t.Fatal(err)
		}
		f, err := d.Append("f")
		if err != nil {
			t.Fatal(err)
		}
		d.Inject(d.Ops()+2, faultfs.Fault{Err: syscall.EIO})
		if _, err := f.WriteAt([]byte("two"), 3); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync: %v", err)
		}
		if again {
			if _, err := f.WriteAt([]byte("two"), 3); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := string(d.Bytes("f")); got != "onetwo" {
			t.Fatalf("the process sees %q", got)
		}
		want := "one"
		if again {
			want = "onetwo"
		}
		if got := string(d.Restart(nil).Bytes("f")); got != want {
			t.Errorf("written again %v: the platter has %q, want %q", again, got, want)
		}
	}
}

// A rename that was not synced leaves the old or the new file under the name.
func TestRenameIsAtomic(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(50) {
		d := faultfs.New()
		write(t, d, "f", []byte("old"), true)
		if err := d.SyncDir(); err != nil {
			t.Fatal(err)
		}
		write(t, d, "tmp", []byte("new"), true)
		if err := d.Rename("tmp", "f"); err != nil {
			t.Fatal(err)
		}
		seen[string(d.Restart(rand.New(rand.NewPCG(seed, 0))).Bytes("f"))] = true
	}
	if len(seen) != 2 || !seen["old"] || !seen["new"] {
		t.Errorf("after the cut the file is one of %v", seen)
	}
}

func TestFaultsComeInPairs(t *testing.T) {
	for _, done := range []bool{false, true} {
		d := faultfs.New()
		d.Inject(1, faultfs.Fault{Err: syscall.EIO, Done: done})
		if _, err := d.Create("f"); !errors.Is(err, syscall.EIO) {
			t.Fatalf("create: %v", err)
		}
		if there := d.Bytes("f") != nil; there != done {
			t.Errorf("done %v: the file is there: %v", done, there)
		}
	}
}

func TestCapacity(t *testing.T) {
	d := faultfs.New()
	d.SetCapacity(10)
	f, err := d.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt(make([]byte, 16), 0); n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if free, err := d.Free(); err != nil || free != 0 {
		t.Fatalf("free %d: %v", free, err)
	}
}

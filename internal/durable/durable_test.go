package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
)

var _ journal.FS = (*durable.Dir)(nil)

const envDo = "DURABLE_TEST_DO"

// TestMain lets TestSystemCalls run single operations in a process of their own.
func TestMain(m *testing.M) {
	do := os.Getenv(envDo)
	if do == "" {
		os.Exit(m.Run())
	}
	var err error
	switch op, path, _ := strings.Cut(do, " "); op {
	case "write":
		err = durable.WriteFile(path, []byte("content"), 0o600)
	case "rename":
		err = durable.Rename(path, path+"2")
	case "remove":
		err = durable.Remove(path)
	case "mkdir":
		err = durable.MkdirAll(path, 0o700)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// TestSystemCalls holds each function to the order of system calls that its
// comment promises, as strace sees them.
func TestSystemCalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test checks system calls with strace, which is not installed (apt-get install strace): %v", err)
	}
	for _, c := range []struct{ op, path, want string }{
		{"write", "f", "open f.tmp;write;fdatasync;close;rename f.tmp f;open .;fsync;close"},
		{"rename", "there", "rename there there2;open .;fsync;close"},
		{"remove", "there", "unlink there;open .;fsync;close"},
		{"remove", "gone", "open .;fsync;close"},
		{"mkdir", "a/b", "mkdir a;open .;fsync;close;mkdir a/b;open a;fsync;close"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "there"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "trace")
		cmd := exec.Command(strace, "-f", "-qq", "-o", out, "-e",
			"trace=openat,write,close,fsync,fdatasync,renameat,renameat2,unlinkat,mkdirat,?rename,?unlink,?mkdir,ftruncate", os.Args[0])
		cmd.Env = append(os.Environ(), envDo+"="+c.op+" "+filepath.Join(dir, c.path))
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s under strace: %v (is ptrace allowed here?)\n%s", c.op, err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got := calls(string(b), dir); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.op, c.path, got, c.want)
		}
	}
}

var (
	pathCall = regexp.MustCompile(`(openat|renameat2?|unlinkat|mkdirat)\(AT_FDCWD, "([^"]*)"(?:, AT_FDCWD, "([^"]*)")?.* = (-?\d+)`)
	fdCall   = regexp.MustCompile(`(write|fsync|fdatasync|close)\((\d+).* = (-?\d+)`)
)

// calls reduces a trace to what was done in dir, failures left out.
func calls(trace, dir string) string {
	var got []string
	fds := map[string]bool{}
	rel := func(p string) (string, bool) {
		r, err := filepath.Rel(dir, p)
		return r, err == nil && !strings.HasPrefix(r, "..")
	}
	for line := range strings.Lines(trace) {
		if m := pathCall.FindStringSubmatch(line); m != nil {
			p, ours := rel(m[2])
			if !ours || strings.HasPrefix(m[4], "-") {
				continue
			}
			what := strings.TrimSuffix(strings.TrimSuffix(m[1], "2"), "at") + " " + p
			if m[3] != "" {
				to, _ := rel(m[3])
				what += " " + to
			}
			if m[1] == "openat" {
				fds[m[4]] = true
			}
			got = append(got, what)
		} else if m := fdCall.FindStringSubmatch(line); m != nil && fds[m[2]] {
			got = append(got, m[1])
			if m[1] == "close" {
				delete(fds, m[2])
			}
		}
	}
	return strings.Join(got, ";")
}

func TestWriteFileReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, s := range []string{"one", "the second one", "3"} {
		if err := durable.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != s {
			t.Fatalf("read %q, %v", b, err)
		}
	}
	if err := durable.WriteFile(filepath.Join(path, "not a directory"), nil, 0o600); err == nil {
		t.Fatal("wrote below a file")
	}
}

// TestLockIsExclusive: two processes on one journal; the second is turned away,
// and comes in when the first is gone.
func TestLockIsExclusive(t *testing.T) {
	d, err := durable.MakeDir(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, durable.ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := d.Names(); err != nil || len(names) != 0 {
		t.Fatalf("the lock shows among the names: %v %v", names, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirIsAnFS(t *testing.T) {
	d, err := durable.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("a"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create twice: %v", err)
	}
	if _, err := d.Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open what is not there: %v", err)
	}
	if _, err := f.WriteAt([]byte("world"), 6); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("hello "), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), d.Rename("a", "b"), d.SyncDir(), f.Close()); err != nil {
		t.Fatal(err)
	}
	g, err := d.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 11)
	if n, err := g.ReadAt(b, 0); n != 11 || !bytes.Equal(b, []byte("hello world")) {
		t.Fatalf("read %q: %v", b[:n], err)
	}
	if n, err := g.Size(); n != 11 || err != nil {
		t.Fatalf("size %d: %v", n, err)
	}
	if _, err := g.WriteAt(b, 0); err == nil {
		t.Fatal("wrote to a file opened for reading")
	}
	if err := errors.Join(g.Close(), d.Remove("b")); err != nil {
		t.Fatal(err)
	}
	if names, err := d.Names(); err != nil || len(names) != 0 {
		t.Fatalf("names %v: %v", names, err)
	}
	if free, err := d.Free(); err != nil || free <= 0 {
		t.Fatalf("free %d: %v", free, err)
	}
	if _, err := durable.OpenDir(filepath.Join(d.Path(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open a directory that is not there: %v", err)
	}
}

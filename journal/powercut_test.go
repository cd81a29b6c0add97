package journal_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// The power-cut test runs a real writer on a real directory under strace, and
// replays the system calls that it really made onto a disk that can lose and
// tear. The writer is this test binary, started again with these variables.
const (
	envWriterDir  = "JOURNAL_TEST_WRITER_DIR"
	envWriterSync = "JOURNAL_TEST_WRITER_SYNC" // "all", "files" or "none": the controls
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envWriterDir); dir != "" {
		if err := powercutWriter(dir, os.Getenv(envWriterSync)); err != nil {
			fmt.Fprintln(os.Stderr, "writer:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// unsafeFS is a directory that leaves syncs out: what a journal without them
// would do to the disk.
type unsafeFS struct {
	journal.FS
	files bool // sync files at least
}

func (u unsafeFS) SyncDir() error { return nil }
func (u unsafeFS) Create(name string) (journal.File, error) {
	f, err := u.FS.Create(name)
	return u.wrap(f), err
}
func (u unsafeFS) Append(name string) (journal.File, error) {
	f, err := u.FS.Append(name)
	return u.wrap(f), err
}
func (u unsafeFS) wrap(f journal.File) journal.File {
	if f == nil || u.files {
		return f
	}
	return unsafeFile{f}
}

type unsafeFile struct{ journal.File }

func (unsafeFile) Sync() error { return nil }

// powercutBody is what record seq of the e-th epoch holds: anybody can compute
// it. Lengths run from less than a sector to several.
func powercutBody(e, seq int) []byte {
	r := rand.New(rand.NewPCG(uint64(e), uint64(seq)))
	b := make([]byte, 1+r.IntN([]int{40, 400, 2500}[r.IntN(3)]))
	for i := range b {
		b[i] = byte(1 + r.IntN(255))
	}
	return b
}

// powercutWriter writes, syncs, checkpoints, opens again, begins an epoch; after
// each Sync it says on standard output how far it was told to be safe.
func powercutWriter(dir, syncs string) error {
	d, err := durable.MakeDir(dir)
	if err != nil {
		return err
	}
	var fsys journal.FS = d
	if syncs != "all" {
		fsys = unsafeFS{d, syncs == "files"}
	}
	o := journal.Options{SegmentBytes: 8 << 10}
	l, err := journal.Create(fsys, testIdentity(), o)
	if err != nil {
		return err
	}
	epoch, r := 1, rand.New(rand.NewPCG(7, 7))
	key, err := fixedKey()
	if err != nil {
		return err
	}
	for turn := range 150 {
		for range 1 + r.IntN(4) {
			if err := l.Append(journal.Record, powercutBody(epoch, int(l.Next()))); err != nil {
				return err
			}
		}
		if turn%10 == 9 {
			size, root := l.Head()
			origin := l.Identity().Origin()
			note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, nil)
			if err != nil {
				return err
			}
			if err := l.Append(journal.Checkpoint, note); err != nil {
				return err
			}
		}
		if err := l.Sync(); err != nil {
			return err
		}
		size, _ := l.Head()
		fmt.Fprintf(os.Stdout, "safe %d %d\n", epoch, size)
		switch turn {
		case 40, 120:
			if err := l.Close(); err != nil {
				return err
			}
			if l, _, err = journal.Open(fsys, o); err != nil {
				return err
			}
		case 80:
			epoch++
			if err := l.NewEpoch(testEpoch(0xe0+byte(epoch)), "test"); err != nil {
				return err
			}
		}
	}
	return l.Close()
}

// A sysEvent is one system call that changed the directory, or an
// acknowledgement.
type sysEvent struct {
	call string // create, write, sync, rename, remove, syncdir, safe
	name string
	to   string
	data []byte
	off  int64

	epoch, size int // of safe
}

// traceWriter runs the writer under strace and returns what it did.
func traceWriter(t *testing.T, syncs string) []sysEvent {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test proves durability with strace, which is not installed (apt-get install strace): %v", err)
	}
	dir := filepath.Join(t.TempDir(), "journal")
	out := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-qq", "-xx", "-s", "4194304", "-o", out,
		"-e", "trace=openat,?open,close,write,pwrite64,?writev,?pwritev,fsync,fdatasync,?rename,renameat,renameat2,?unlink,unlinkat,ftruncate,fallocate",
		os.Args[0])
	cmd.Env = append(os.Environ(), envWriterDir+"="+dir, envWriterSync+"="+syncs)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("writer under strace: %v (is ptrace allowed here?)\n%s", err, &stderr)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &traceParser{dir: dir, fds: map[string]string{}, begun: map[string]string{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if err := p.line(lines.Text()); err != nil {
			t.Fatalf("trace: %v: %.200s", err, lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return p.events
}

// A traceParser reads strace's lines.
type traceParser struct {
	dir    string
	fds    map[string]string // file descriptor -> name in dir, "." for dir itself
	begun  map[string]string // thread -> a call that has not returned
	events []sysEvent
}

var traceCall = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+|\?)`)

func (p *traceParser) line(s string) error {
	pid, rest, ok := strings.Cut(s, " ")
	if !ok {
		return nil
	}
	rest = strings.TrimSpace(rest)
	if head, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
		p.begun[pid] = head
		return nil
	}
	if strings.HasPrefix(rest, "<... ") {
		_, tail, _ := strings.Cut(rest, " resumed>")
		rest = p.begun[pid] + tail
		delete(p.begun, pid)
	}
	m := traceCall.FindStringSubmatch(rest)
	if m == nil || strings.HasPrefix(m[3], "-") || m[3] == "?" {
		return nil // a signal, an exit, or a call that failed and changed nothing
	}
	return p.call(m[1], strings.Split(m[2], ", "), m[3])
}

func (p *traceParser) call(call string, arg []string, result string) error {
	switch call {
	case "openat":
		name, ours := p.name(arg[1])
		if !ours {
			return nil
		}
		p.fds[result] = name
		if strings.Contains(arg[2], "O_CREAT") {
			p.add(sysEvent{call: "create", name: name})
		}
		if strings.Contains(arg[2], "O_TRUNC") {
			return errors.New("the replay knows no truncation")
		}
	case "close":
		delete(p.fds, arg[0])
	case "write", "pwrite64":
		return p.write(call, arg, result)
	case "fsync", "fdatasync":
		if name, ours := p.fds[arg[0]]; ours {
			p.add(sysEvent{call: "sync", name: name})
		}
	case "renameat", "renameat2":
		from, ours := p.name(arg[1])
		to, _ := p.name(arg[3])
		if ours {
			p.add(sysEvent{call: "rename", name: from, to: to})
			for fd, name := range p.fds {
				if name == from {
					p.fds[fd] = to
				}
			}
		}
	case "unlinkat":
		if name, ours := p.name(arg[1]); ours {
			p.add(sysEvent{call: "remove", name: name})
		}
	default:
		if _, ours := p.fds[arg[0]]; ours {
			return fmt.Errorf("the replay does not know %s", call)
		}
	}
	return nil
}

func (p *traceParser) write(call string, arg []string, result string) error {
	data, err := unhex(arg[1])
	if err != nil {
		return err
	}
	name, ours := p.fds[arg[0]]
	switch {
	case call == "write" && arg[0] == "1":
		e := sysEvent{call: "safe"}
		if _, err := fmt.Sscanf(string(data), "safe %d %d\n", &e.epoch, &e.size); err != nil {
			return fmt.Errorf("acknowledgement %q: %w", data, err)
		}
		p.events = append(p.events, e)
	case !ours:
	case call == "write":
		return errors.New("the replay knows no write without an offset")
	default:
		off, err := strconv.ParseInt(arg[3], 10, 64)
		if err != nil || strconv.Itoa(len(data)) != result {
			return fmt.Errorf("write of %d bytes at %s returned %s", len(data), arg[3], result)
		}
		p.add(sysEvent{call: "write", name: name, data: data, off: off})
	}
	return nil
}

func (p *traceParser) add(e sysEvent) {
	if e.name == ".lock" {
		return
	}
	if e.name == "." && e.call == "sync" {
		e.call = "syncdir"
	}
	p.events = append(p.events, e)
}

// name decodes a path argument; ours says that it lies in the directory.
func (p *traceParser) name(arg string) (name string, ours bool) {
	b, err := unhex(arg)
	if err != nil {
		return "", false
	}
	if string(b) == p.dir {
		return ".", true
	}
	return strings.CutPrefix(string(b), p.dir+"/")
}

func unhex(arg string) ([]byte, error) {
	if !strings.HasPrefix(arg, `"`) || !strings.HasSuffix(arg, `"`) {
		return nil, fmt.Errorf("argument %.40s is not a whole string", arg)
	}
	return hex.DecodeString(strings.ReplaceAll(strings.Trim(arg, `"`), `\x`, ""))
}

// replay does the first n events to a new disk, and returns how far each epoch
// was reported safe.
func replay(t testing.TB, events []sysEvent, n int) (*faultfs.Disk, map[int]int) {
	t.Helper()
	disk, safe := faultfs.New(), map[int]int{}
	files := map[string]journal.File{}
	for _, e := range events[:n] {
		var err error
		switch e.call {
		case "create":
			files[e.name], err = disk.Create(e.name)
		case "write", "sync":
			if files[e.name] == nil {
				if files[e.name], err = disk.Append(e.name); err != nil {
					break
				}
			}
			if e.call == "sync" {
				err = files[e.name].Sync()
			} else {
				_, err = files[e.name].WriteAt(e.data, e.off)
			}
		case "rename":
			if f := files[e.name]; f != nil {
				files[e.to] = f
			} else {
				delete(files, e.to)
			}
			delete(files, e.name)
			err = disk.Rename(e.name, e.to)
		case "remove":
			delete(files, e.name)
			err = disk.Remove(e.name)
		case "syncdir":
			err = disk.SyncDir()
		case "safe":
			safe[e.epoch] = e.size
		}
		if err != nil {
			t.Fatalf("replay %s %s: %v", e.call, e.name, err)
		}
	}
	return disk, safe
}

// survived opens what is left and checks that everything reported safe is there.
func survived(fsys journal.FS, safe map[int]int) error {
	l, r, err := journal.Open(fsys, journal.Options{SegmentBytes: 8 << 10})
	if errors.Is(err, journal.ErrNone) && len(safe) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Lost != nil || len(r.Quarantined) > 0 {
		return fmt.Errorf("recovery: lost %v, quarantined %v", r.Lost, r.Quarantined)
	}
	found := map[int]int{}
	for i, info := range l.Epochs() {
		n := 0
		err := l.Read(info.Epoch, 0, func(f journal.Frame) error {
			if f.Kind != journal.Record {
				return nil
			}
			if int(f.Seq) != n || !bytes.Equal(f.Body, powercutBody(i+1, n)) {
				return fmt.Errorf("record %d of epoch %d is not what was written", f.Seq, i+1)
			}
			n++
			return nil
		})
		if err != nil {
			return err
		}
		found[i+1] = n
	}
	for epoch, size := range safe {
		if found[epoch] < size {
			return fmt.Errorf("epoch %d has %d records, %d were reported safe", epoch, found[epoch], size)
		}
	}
	key, err := fixedKey()
	if err != nil {
		return err
	}
	rep, err := journal.Verify(fsys, &key.PublicKey)
	if err == nil && !rep.OK() {
		err = fmt.Errorf("does not verify: %v", rep.Problems)
	}
	return errors.Join(err, l.Close())
}

// cutEverywhere cuts a trace at random places, with random loss, and counts what
// the check finds wrong.
func cutEverywhere(t *testing.T, events []sysEvent, cuts int, fatal bool) (wrong int) {
	t.Helper()
	chance := rand.New(rand.NewPCG(20, 26))
	for i := range cuts {
		n := 1 + chance.IntN(len(events))
		seed := chance.Uint64()
		disk, safe := replay(t, events, n)
		var fsys journal.FS = disk.Restart(rand.New(rand.NewPCG(seed, 0)))
		if i%8 == 0 {
			fsys = onRealDisk(t, fsys.(*faultfs.Disk))
		}
		if err := survived(fsys, safe); err != nil {
			wrong++
			if fatal {
				t.Fatalf("power cut after %d of %d calls (%s %s), seed %d: %v", n, len(events), events[n-1].call, events[n-1].name, seed, err)
			}
		}
	}
	return wrong
}

// onRealDisk copies a disk into a real directory.
func onRealDisk(t *testing.T, disk *faultfs.Disk) journal.FS {
	t.Helper()
	dir, err := durable.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range mustNames(t, disk) {
		if err := os.WriteFile(filepath.Join(dir.Path(), n), disk.Bytes(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPowerCut cuts the power of a real run. With syncs left out, of files and
// directory or of the directory alone, the same check must fail: else it would
// prove nothing.
func TestPowerCut(t *testing.T) {
	cuts := 400
	if testing.Short() {
		cuts = 80
	}
	events := traceWriter(t, "all")
	count := map[string]int{}
	for _, e := range events {
		count[e.call]++
	}
	if count["safe"] != 150 || count["sync"] < 150 || count["syncdir"] < 10 || count["write"] < 150 {
		t.Fatalf("the trace is not what the writer does: %v", count)
	}
	cutEverywhere(t, events, cuts, true)

	for _, syncs := range []string{"none", "files"} {
		events := traceWriter(t, syncs)
		if wrong := cutEverywhere(t, events, 60, false); wrong < 10 {
			t.Errorf("control: with syncs %q only %d of 60 power cuts lost anything: the check does not bite", syncs, wrong)
		}
	}
}

// Package faultfs is a disk in memory that loses, tears and fails on demand. It
// is the other implementation of journal.FS, for tests and for the simulator.
//
// # What it models
//
// A [Disk] keeps two states: what a running process sees, and what is on the
// platter. Writes change the first; File.Sync carries a file's bytes and length
// over, SyncDir carries names over. [Disk.Restart] is a power cut: it returns a
// new Disk made of the platter and of an arbitrary part of what had not been
// synced, chosen by the caller's source of chance:
//
//   - each unsynced 512-byte sector is there or not (then it has its old bytes,
//     or zeros where there were none), in any order;
//   - a file's length is the old one, the new one, or a sector boundary between;
//   - each unsynced Create, Rename and Remove happened or not, in any subset.
//
// # Faults
//
// Every operation that changes something has a number, from 1. [Disk.Inject]
// gives one a [Fault]: it fails having done nothing, having done its work
// nevertheless (the half of a pair that double-bills), or the power goes. A
// failed Sync that did not do its work behaves as on Linux: the unwritten sectors
// count as clean from then on, so that a later Sync succeeds without them.
package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"syscall"
)

// SectorSize is the unit, in bytes, in which unsynced data persists.
const SectorSize = 512

// ErrPowerOff is returned by every operation after the power went.
var ErrPowerOff = errors.New("power is off")

// ErrLocked is returned by Lock when the directory is locked.
var ErrLocked = errors.New("in use by another process")

// A Chooser is a source of chance: *math/rand/v2.Rand is one.
type Chooser interface {
	IntN(n int) int // 0 <= result < n
}

// A Fault is what happens at one operation.
type Fault struct {
	Err      error // returned, wrapped; nil with PowerOff
	Done     bool  // the operation does its work nevertheless
	PowerOff bool  // the power goes: this operation and all later ones return ErrPowerOff
}

// A Disk is one flat directory. It is safe for several goroutines.
type Disk struct {
	mu      sync.Mutex
	live    map[string]*inode // names as a process sees them
	stable  map[string]*inode // names on the platter
	pending []dirOp           // name changes not synced, in order

	ops    int
	faults map[int]Fault
	log    []string // what each operation was
	off    bool
	locked bool
	cap    int64 // bytes; 0 for no limit
	syncs  int
}

// An inode is a file's content.
type inode struct {
	live   []byte
	stable []byte
	dirty  map[int64]bool // sectors of live that the platter does not have
	sized  bool           // the length was changed and not synced
}

// A dirOp is one change of names: add (nil to leave out) and del ("" for none).
type dirOp struct {
	add  string
	node *inode
	del  string
}

// New returns an empty Disk.
func New() *Disk {
	return &Disk{live: map[string]*inode{}, stable: map[string]*inode{}, faults: map[int]Fault{}}
}

// Inject makes the op-th changing operation from the Disk's birth, or from the
// last Restart, fail. Several operations may have faults.
func (d *Disk) Inject(op int, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[op] = f
}

// Heal takes every fault away that has not happened yet.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.faults)
}

// Ops returns how many changing operations there were.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Log returns a line for each changing operation so far.
func (d *Disk) Log() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.log)
}

// Syncs returns how many File.Sync and SyncDir calls succeeded.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// SetCapacity bounds the bytes of all files; a write beyond it stores what fits
// and fails with ENOSPC. 0 takes the bound away.
func (d *Disk) SetCapacity(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cap = n
}

// PowerOff lets the power go now.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// enter counts an operation and returns its fault. do says whether the work is
// to be done; err what to return afterwards.
func (d *Disk) enter(format string, args ...any) (do bool, f Fault, err error) {
	if d.off {
		return false, Fault{}, ErrPowerOff
	}
	d.ops++
	what := fmt.Sprintf(format, args...)
	d.log = append(d.log, what)
	f, ok := d.faults[d.ops]
	if !ok {
		return true, f, nil
	}
	if f.PowerOff {
		d.off = true
		return f.Done, f, fmt.Errorf("%s: %w", what, ErrPowerOff)
	}
	return f.Done, f, fmt.Errorf("%s: %w", what, f.Err)
}

// Names implements journal.FS.
func (d *Disk) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, ErrPowerOff
	}
	names := make([]string, 0, len(d.live))
	for n := range d.live {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// Create implements journal.FS.
func (d *Disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	do, _, err := d.enter("create %s", name)
	if do {
		n := &inode{dirty: map[int64]bool{}}
		d.live[name] = n
		d.pending = append(d.pending, dirOp{add: name, node: n})
	}
	if err != nil {
		return nil, err
	}
	return &handle{d: d, n: d.live[name], name: name, write: true}, nil
}

// Open implements journal.FS.
func (d *Disk) Open(name string) (File, error) { return d.open(name, false) }

// Append implements journal.FS.
func (d *Disk) Append(name string) (File, error) { return d.open(name, true) }

func (d *Disk) open(name string, write bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, ErrPowerOff
	}
	n := d.live[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &handle{d: d, n: n, name: name, write: write}, nil
}

// Rename implements journal.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.live[from]
	if n == nil && !d.off {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	do, _, err := d.enter("rename %s %s", from, to)
	if do {
		delete(d.live, from)
		d.live[to] = n
		d.pending = append(d.pending, dirOp{add: to, node: n, del: from})
	}
	return err
}

// Remove implements journal.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.live[name]
	if n == nil && !d.off {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	do, _, err := d.enter("remove %s", name)
	if do {
		delete(d.live, name)
		d.pending = append(d.pending, dirOp{node: n, del: name})
	}
	return err
}

// SyncDir implements journal.FS.
func (d *Disk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, f, err := d.enter("syncdir")
	switch {
	case do:
		for _, op := range d.pending {
			op.apply(d.stable)
		}
		d.pending = nil
	case err != nil && !f.PowerOff && !d.off:
		d.pending = nil // the names that could not be written count as clean
	}
	if err == nil {
		d.syncs++
	}
	return err
}

func (op dirOp) apply(names map[string]*inode) {
	if op.del != "" && names[op.del] == op.node {
		delete(names, op.del)
	}
	if op.add != "" {
		names[op.add] = op.node
	}
}

// Free implements journal.FS.
func (d *Disk) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cap == 0 {
		return 1 << 40, nil
	}
	return d.cap - d.usedLocked(), nil
}

func (d *Disk) usedLocked() (n int64) {
	for _, i := range d.live {
		n += int64(len(i.live))
	}
	return n
}

// Lock implements journal.FS. A Restart drops the lock.
func (d *Disk) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, ErrPowerOff
	}
	if d.locked {
		return nil, ErrLocked
	}
	d.locked = true
	return &unlock{d: d}, nil
}

// Revive makes a power cut that was injected the end of the process only: the
// kernel and its view of the files live on, the lock is dropped, and a new
// process may use d. Files that the old one had open must not be used again.
func (d *Disk) Revive() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off, d.locked = false, false
	return d
}

type unlock struct {
	d    *Disk
	once sync.Once
}

func (u *unlock) Close() error {
	u.once.Do(func() {
		u.d.mu.Lock()
		u.d.locked = false
		u.d.mu.Unlock()
	})
	return nil
}

// A File is journal.File.
type File = interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error
}

type handle struct {
	d     *Disk
	n     *inode
	name  string
	write bool
}

func (h *handle) Close() error { return nil }

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.off {
		return 0, ErrPowerOff
	}
	return int64(len(h.n.live)), nil
}

func (h *handle) ReadAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.off {
		return 0, ErrPowerOff
	}
	if off >= int64(len(h.n.live)) {
		return 0, io.EOF
	}
	n := copy(b, h.n.live[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt stores half of the bytes when it fails and its fault is not Done.
func (h *handle) WriteAt(b []byte, off int64) (int, error) {
	d := h.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if !h.write {
		return 0, &fs.PathError{Op: "write", Path: h.name, Err: fs.ErrPermission}
	}
	do, _, err := d.enter("write %s %d+%d", h.name, off, len(b))
	switch {
	case errors.Is(err, ErrPowerOff) && !do:
		return 0, err
	case !do:
		b = b[:len(b)/2]
	}
	if over := d.usedLocked() + max(0, off+int64(len(b))-int64(len(h.n.live))) - d.cap; d.cap > 0 && over > 0 && err == nil {
		b = b[:max(0, int64(len(b))-over)]
		err = fmt.Errorf("write %s: %w", h.name, syscall.ENOSPC)
	}
	h.n.writeAt(b, off)
	return len(b), err
}

func (n *inode) writeAt(b []byte, off int64) {
	if len(b) == 0 {
		return
	}
	if end := off + int64(len(b)); end > int64(len(n.live)) {
		n.live = append(n.live, make([]byte, end-int64(len(n.live)))...)
		n.sized = true
	}
	copy(n.live[off:], b)
	for s := off / SectorSize; s <= (off+int64(len(b))-1)/SectorSize; s++ {
		n.dirty[s] = true
	}
}

func (h *handle) Sync() error {
	d := h.d
	d.mu.Lock()
	defer d.mu.Unlock()
	do, f, err := d.enter("sync %s", h.name)
	switch {
	case do:
		h.n.flush()
	case err != nil && !f.PowerOff && !d.off:
		clear(h.n.dirty)
		h.n.sized = false
	}
	if err == nil {
		d.syncs++
	}
	return err
}

// flush carries the dirty sectors and the length to the platter.
func (n *inode) flush() {
	if n.sized || len(n.dirty) > 0 {
		n.resize(len(n.live))
	}
	for s := range n.dirty {
		n.putSector(s)
	}
	clear(n.dirty)
	n.sized = false
}

func (n *inode) resize(size int) {
	if size > len(n.stable) {
		n.stable = append(n.stable, make([]byte, size-len(n.stable))...)
	}
}

func (n *inode) putSector(s int64) {
	lo, hi := s*SectorSize, min((s+1)*SectorSize, int64(len(n.live)), int64(len(n.stable)))
	if lo < hi {
		copy(n.stable[lo:hi], n.live[lo:hi])
	}
}

// Restart is a power cut, now or when the power went before, and a new start. A
// nil Chooser loses everything that was not synced. The old Disk is dead.
func (d *Disk) Restart(c Chooser) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	names := map[string]*inode{}
	for n, i := range d.stable {
		names[n] = i
	}
	for _, op := range d.pending {
		if c != nil && c.IntN(2) == 1 {
			op.apply(names)
		}
	}
	// In the order of the names, so that one source of chance gives one outcome.
	order := make([]string, 0, len(names))
	for n := range names {
		order = append(order, n)
	}
	slices.Sort(order)
	after, moved := New(), map[*inode]*inode{}
	after.cap = d.cap
	for _, name := range order {
		i := names[name]
		if moved[i] == nil {
			moved[i] = i.tear(c)
		}
		after.live[name], after.stable[name] = moved[i], moved[i]
	}
	return after
}

// tear returns the file as it is after a power cut.
func (n *inode) tear(c Chooser) *inode {
	t := &inode{stable: bytes.Clone(n.stable), dirty: map[int64]bool{}}
	if c != nil && (n.sized || len(n.dirty) > 0) {
		size := len(n.stable)
		if grow := len(n.live) - size; grow > 0 {
			switch c.IntN(3) {
			case 0:
				size = len(n.live)
			case 1:
				size = min(len(n.live), (size+c.IntN(grow+1)+SectorSize-1)/SectorSize*SectorSize)
			}
		}
		t.live = n.live
		t.resize(size)
		sectors := make([]int64, 0, len(n.dirty))
		for s := range n.dirty {
			sectors = append(sectors, s)
		}
		slices.Sort(sectors)
		for _, s := range sectors {
			if c.IntN(2) == 1 {
				t.putSector(s)
			}
		}
	}
	t.live = bytes.Clone(t.stable)
	return t
}

// Bytes returns a file as a process sees it, nil when there is none.
func (d *Disk) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.live[name]; n != nil {
		return append([]byte{}, n.live...)
	}
	return nil
}

// Put replaces a file, on the platter as well: damage, or a fixture. A nil b
// takes the file away.
func (d *Disk) Put(name string, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b == nil {
		delete(d.live, name)
		delete(d.stable, name)
		return
	}
	n := &inode{live: bytes.Clone(b), stable: bytes.Clone(b), dirty: map[int64]bool{}}
	d.live[name], d.stable[name] = n, n
}

// Clone returns a disk whose files, synced and not, are as these are now, with
// everything synced, no faults and no lock.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New()
	for name, n := range d.live {
		i := &inode{live: bytes.Clone(n.live), stable: bytes.Clone(n.live), dirty: map[int64]bool{}}
		c.live[name], c.stable[name] = i, i
	}
	return c
}

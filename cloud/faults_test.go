package cloud_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// The faults of the two external writes, in pairs.
const (
	archiveFailed    = 0 // nothing was written
	archivePersisted = 1 // all of it was, and the caller is told otherwise
	commitFailed     = 2
	commitPersisted  = 3
	noFault          = 9
)

var errFault = errors.New("injected fault")

// faults is a keeper that fails once, as next says.
type faults struct {
	cloud.Store
	cloud.Archive
	next int
	hits [4]int
}

func (f *faults) take(kind int) bool {
	if f.next != kind {
		return false
	}
	f.next = noFault
	f.hits[kind]++
	return true
}

func (f *faults) Put(ctx context.Context, name string, b []byte) error {
	if f.take(archiveFailed) {
		return errFault
	}
	err := f.Archive.Put(ctx, name, b)
	if f.take(archivePersisted) {
		return errFault
	}
	return err
}

func (f *faults) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	if f.take(commitFailed) {
		return errors.Join(f.Store.Update(ctx, func(tx cloud.Tx) error { return errors.Join(fn(tx), errFault) }), errFault)
	}
	err := f.Store.Update(ctx, fn)
	if err == nil && f.take(commitPersisted) {
		return errFault
	}
	return err
}

// For every external write of an upload: it fails, or it happens and we are told
// that it failed. Trying again gives what an upload without faults gives.
func TestFaultsInPairs(t *testing.T) {
	for kind, name := range []string{"archive failed", "archive failed but persisted", "commit failed", "commit failed but persisted"} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, w *world) {
				b := readyBox(w, "north")
				f := &faults{Store: w.store, Archive: w.archive, next: noFault}
				b.charge(visit{wh: 10_000})
				b.checkpoint()
				from := w.cursor(b, b.evidence).Received
				w.over(f, f)
				f.next = kind
				if _, err := b.send(holdfast.Seq(from), 1<<20); !errors.Is(err, errFault) {
					t.Fatalf("the fault did not show: %v", err)
				}
				w.over(w.store, w.archive) // a new process, even
				ack, err := b.send(holdfast.Seq(from), 1<<20)
				var p *cloud.PositionError
				switch {
				case errors.As(err, &p):
					if kind != commitPersisted || uint64(p.Expected) != b.size() {
						t.Errorf("after the fault: %v", err)
					}
				case err != nil || ack.Received != b.size() || ack.Reconciled != b.size():
					t.Errorf("after the fault: %+v, %v", ack, err)
				}
				cdrs, _, err := w.plane.CDRs(t.Context(), cloud.CDRFilter{}, cloud.Page{})
				if err != nil || len(cdrs) != 1 || cdrs[0].Gross != 6_426_000 {
					t.Errorf("CDRs: %+v, %v", cdrs, err)
				}
				w.balanced()
				before := w.dump()
				w.must(w.plane.Rebuild(t.Context()))
				if after := w.dump(); after != before {
					t.Error(firstDifference(before, after))
				}
			})
		})
	}
}

// The same for every other call that writes: made again after a commit that
// failed, or happened unnoticed, it converges.
func TestCallsConvergeAfterCommitFaults(t *testing.T) {
	for kind, name := range map[int]string{commitFailed: "commit failed", commitPersisted: "commit failed but persisted"} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, w *world) {
				ctx := t.Context()
				f := &faults{Store: w.store, Archive: w.archive, next: noFault}
				w.over(f, f)
				twice := func(what string, call func() error) {
					t.Helper()
					f.next = kind
					if err := call(); !errors.Is(err, errFault) {
						t.Fatalf("%s: the fault did not show: %v", what, err)
					}
					if err := call(); err != nil && !(kind == commitPersisted && errors.Is(err, cloud.ErrExists)) {
						t.Errorf("%s again: %v", what, err)
					}
				}
				twice("add site", func() error { _, _, err := w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "north"}); return err })
				code, err := w.plane.NewCode(ctx, w.now, "north", "test")
				w.must(err)
				key := newKey(t)
				twice("enrol", func() error {
					_, err := w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: code, CSR: csr(t, key)})
					return err
				})
				twice("put token", func() error { _, err := w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "04AA"}); return err })
				twice("put tariff", func() error {
					_, err := w.plane.PutTariff(ctx, w.now, cloud.PutTariff{OCPI: []byte(dayTariff)})
					return err
				})
				twice("revoke", func() error { _, err := w.plane.RevokeToken(ctx, w.now, "04AA", "test"); return err })
				twice("hello", func() error {
					_, err := w.plane.Hello(ctx, w.now, "gw-north", uplink.Hello{Gateway: "gw-north", Nonce: strings.Repeat("ab", 16)})
					return err
				})
				tariffs, _, err := w.plane.Tariffs(ctx, cloud.Page{})
				if err != nil || len(tariffs) != 1 {
					t.Errorf("%d tariff versions, want 1: %v", len(tariffs), err)
				}
				tokens, _, err := w.plane.Tokens(ctx, cloud.Page{})
				if err != nil || len(tokens) != 1 || tokens[0].Valid {
					t.Errorf("tokens: %+v, %v", tokens, err)
				}
				due, err := w.plane.Due(ctx, w.now, "gw-north")
				if err != nil || len(due) != 2 {
					t.Errorf("%d directives wait, want one list and one tariff: %v", len(due), err)
				}
			})
		})
	}
}

// An alarm that could not be stored was not raised: the gateway hears of the
// store's trouble and tries again, and then it is.
func TestAlarmSurvivesFaults(t *testing.T) {
	for kind := range 4 {
		onEach(t, func(t *testing.T, w *world) {
			b := readyBox(w, "north")
			at := w.cursor(b, b.evidence).Received
			twin := b.twin(at)
			twin.charge(visit{wh: 9999})
			b.charge(visit{wh: 1000})
			b.checkpoint()
			b.sync()
			theirs, err := twin.evidence.Slice(b.evidence.Identity().Epoch, holdfast.Seq(at), 1<<20)
			w.must(err)
			f := &faults{Store: w.store, Archive: w.archive, next: kind}
			w.over(f, f)
			if _, err := b.raw(b.evidence.Identity(), holdfast.Seq(at), theirs); !errors.Is(err, errFault) {
				t.Fatalf("fault %d: %v", kind, err)
			}
			_, err = b.raw(b.evidence.Identity(), holdfast.Seq(at), theirs)
			w.wantEvidence(err, cloud.CodeFork)
		})
	}
}

package cloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
)

// grantOnce asks for a grant under a key; did counts how often it was issued.
func (w *world) grantOnce(key, what string, did *int) (cloud.Answer, bool, error) {
	return w.plane.Once(context.Background(), w.now, cloud.Request{By: "api", Key: key, What: []byte(what)},
		func(ctx context.Context) (cloud.Answer, error) {
			g, err := w.plane.IssueGrant(ctx, w.now, cloud.IssueGrant{Site: "north", Token: "04AA11", Expires: w.now + 3600_000})
			*did++
			return cloud.Answer{Status: 201, Body: []byte("grant " + g.ID), Token: g.TokenID}, err
		})
}

func (w *world) addSite(site holdfast.SiteID) {
	w.t.Helper()
	_, _, err := w.plane.AddSite(context.Background(), w.now, cloud.AddSite{ID: site})
	w.must(err)
}

func (w *world) count(k cloud.Kind) int {
	w.t.Helper()
	n := 0
	w.must(w.store.View(context.Background(), func(tx cloud.Tx) (err error) {
		n, err = tx.Count(k, nil)
		return err
	}))
	return n
}

// A request with a key counts once, and its repetition gets the same bytes; the
// same key stands for nothing else; it is free again after its life, and when
// nothing was done.
func TestRequestWithAKeyCountsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.addSite("north")
		did := 0
		first, again, err := w.grantOnce("k1", "ask", &did)
		if err != nil || again {
			t.Fatalf("again %t, %v", again, err)
		}
		second, again, err := w.grantOnce("k1", "ask", &did)
		if err != nil || !again || second.Status != first.Status || !bytes.Equal(second.Body, first.Body) {
			t.Fatalf("repeated: again %t, %v; %d %q, first %d %q", again, err, second.Status, second.Body, first.Status, first.Body)
		}
		if n := w.count(cloud.KindGrant); n != 1 || did != 1 {
			t.Fatalf("%d grants, issued %d times", n, did)
		}
		if _, _, err := w.grantOnce("k1", "another", &did); !errors.Is(err, cloud.ErrKeyReused) || did != 1 {
			t.Fatalf("another request under the key: %v, issued %d times", err, did)
		}
		w.now += cloud.AnswerLifeMillis
		if _, again, _ := w.grantOnce("k1", "ask", &did); !again {
			t.Fatal("the answer was forgotten before its time")
		}
		w.now++
		if _, again, err := w.grantOnce("k1", "another", &did); err != nil || again || did != 2 {
			t.Fatalf("after its life the key is not free: again %t, %v", again, err)
		}
		for _, bad := range []string{"", string(make([]byte, cloud.MaxRequestKey+1))} {
			if _, _, err := w.grantOnce(bad, "ask", &did); !errors.Is(err, cloud.ErrInvalid) {
				t.Errorf("a key of %d bytes: %v", len(bad), err)
			}
		}
	})
}

// What fails leaves nothing: no effect of a call that had succeeded before, no
// answer, and a key that is free.
func TestFailedRequestIsUndoneWhole(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.addSite("north")
		grants, directives := w.count(cloud.KindGrant), w.count(cloud.KindDirective)
		broken := errors.New("broken")
		r := cloud.Request{By: "api", Key: "k", What: []byte("ask")}
		issue := func(ctx context.Context) error {
			_, err := w.plane.IssueGrant(ctx, w.now, cloud.IssueGrant{Site: "north", Token: "04AA11", Expires: w.now + 3600_000})
			return err
		}
		for name, do := range map[string]func(context.Context) (cloud.Answer, error){
			"fails at the end": func(ctx context.Context) (cloud.Answer, error) {
				return cloud.Answer{}, errors.Join(issue(ctx), broken)
			},
			"hides a failed call": func(ctx context.Context) (cloud.Answer, error) {
				_, hidden := w.plane.NewCode(ctx, w.now, "nowhere", "api")
				return cloud.Answer{Status: 200}, errors.Join(issue(ctx), errors.Unwrap(fmt.Errorf("%v", hidden)))
			},
			"answers too much": func(ctx context.Context) (cloud.Answer, error) {
				return cloud.Answer{Status: 200, Body: make([]byte, cloud.MaxAnswerBytes+1)}, issue(ctx)
			},
		} {
			if _, _, err := w.plane.Once(context.Background(), w.now, r, do); err == nil {
				t.Errorf("%s: no error", name)
			}
			if g, d, a := w.count(cloud.KindGrant), w.count(cloud.KindDirective), w.count(cloud.KindAnswer); g != grants || d != directives || a != 0 {
				t.Errorf("%s: %d grants, %d directives, %d answers are there", name, g, d, a)
			}
		}
		did := 0
		if _, again, err := w.grantOnce("k", "something else", &did); err != nil || again {
			t.Fatalf("the key is not free: again %t, %v", again, err)
		}
	})
}

// The commit is the moment of truth: reported as failed and done or not done,
// the repetition converges, and there is one grant.
func TestRepetitionAfterCommitFaults(t *testing.T) {
	for _, kind := range []int{commitFailed, commitPersisted} {
		m := store.NewMemory()
		f := &faults{Store: m, Archive: m.Archive(), next: noFault}
		w := newWorld(t, f, f)
		w.addSite("north")
		did := 0
		f.next = kind
		if _, _, err := w.grantOnce("k", "ask", &did); !errors.Is(err, errFault) {
			t.Fatalf("fault %d: %v", kind, err)
		}
		_, again, err := w.grantOnce("k", "ask", &did)
		if err != nil || again != (kind == commitPersisted) || w.count(cloud.KindGrant) != 1 {
			t.Fatalf("fault %d: again %t, %v, %d grants", kind, again, err, w.count(cloud.KindGrant))
		}
	}
}

// No store that keeps answers says what was asked or answered, and erasing a
// driver erases the answers about them, for good.
func TestKeptAnswersTellNothing(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.addSite("north")
		put := func() (cloud.Answer, bool, error) {
			return w.plane.Once(context.Background(), w.now, cloud.Request{By: "api", Key: "the-key", What: []byte(`{"value":"04AA11"}`)},
				func(ctx context.Context) (cloud.Answer, error) {
					tok, err := w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "04AA11", Label: "Jo"})
					return cloud.Answer{Status: 200, Body: []byte("hf-code of Jo " + tok.ID), Token: tok.ID}, err
				})
		}
		if _, _, err := put(); err != nil {
			t.Fatal(err)
		}
		w.must(w.store.View(context.Background(), func(tx cloud.Tx) error {
			docs, err := tx.List(cloud.KindAnswer, cloud.Query{})
			for _, d := range docs {
				for _, secret := range []string{"04AA11", "hf-code", "Jo", "the-key"} {
					if bytes.Contains(d.Body, []byte(secret)) || bytes.Contains([]byte(d.Key), []byte(secret)) {
						t.Errorf("a kept answer holds %q: %s %s", secret, d.Key, d.Body)
					}
				}
			}
			return err
		}))
		if _, err := w.plane.EraseToken(context.Background(), w.now, "04AA11", "api"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := put(); !errors.Is(err, cloud.ErrGone) {
			t.Fatalf("the request of an erased driver, repeated: %v", err)
		}
		if n := w.count(cloud.KindToken); n != 0 {
			t.Fatal("a repetition brought the driver back")
		}
	})
}

// A token that was only ever named in a grant can be erased too, with the answer
// that the grant was.
func TestErasingWhatOnlyAGrantNames(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.addSite("north")
		did := 0
		if _, _, err := w.grantOnce("k", "ask", &did); err != nil {
			t.Fatal(err)
		}
		if _, err := w.plane.EraseToken(context.Background(), w.now, "04AA11", "api"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.grantOnce("k", "ask", &did); !errors.Is(err, cloud.ErrGone) || w.count(cloud.KindGrant) != 0 || did != 1 {
			t.Fatalf("repeated after the erasure: %v; %d grants, issued %d times", err, w.count(cloud.KindGrant), did)
		}
		if _, err := w.plane.EraseToken(context.Background(), w.now, "04AA11", "api"); !errors.Is(err, cloud.ErrNotFound) {
			t.Fatalf("erased again: %v", err)
		}
	})
}

// Expired answers make room; when none has expired, a new key is refused and
// nothing is done.
func TestKeptAnswersAreBounded(t *testing.T) {
	w := memoryWorld(t)
	w.addSite("north")
	w.must(w.store.Update(context.Background(), func(tx cloud.Tx) error {
		for i := range cloud.MaxAnswers {
			body := fmt.Appendf(nil, `{"at":%d,"status":200}`, w.now)
			if _, err := tx.Put(cloud.Doc{Kind: cloud.KindAnswer, Key: fmt.Sprint("old", i), Fields: cloud.Fields{"token": ""}, Body: body}); err != nil {
				return err
			}
		}
		return nil
	}))
	did := 0
	if _, _, err := w.grantOnce("k", "ask", &did); !errors.Is(err, cloud.ErrFull) {
		t.Fatalf("at the bound: %v", err)
	}
	if n := w.count(cloud.KindGrant); n != 0 {
		t.Fatal("a refused request was done")
	}
	w.now += cloud.AnswerLifeMillis + 1
	for i := range 100 {
		if _, _, err := w.grantOnce(fmt.Sprint("k", i), "ask", &did); err != nil {
			t.Fatalf("when the old ones have expired: %v", err)
		}
	}
	if n := w.count(cloud.KindAnswer); n > cloud.MaxAnswers-500 {
		t.Fatalf("%d answers are kept: expired ones are not removed", n)
	}
}

// A key that is used anew after its life counts from then on: it neither goes
// before its time nor keeps those that expired after it from going.
func TestRenewedAnswerLetsOthersExpire(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.addSite("north")
		did := 0
		for i := range 20 {
			if _, _, err := w.grantOnce(fmt.Sprint("k", i), "ask", &did); err != nil {
				t.Fatal(err)
			}
		}
		w.now += cloud.AnswerLifeMillis + 1
		for _, key := range []string{"k15", "new0", "new1", "new2"} {
			if _, again, err := w.grantOnce(key, "ask", &did); err != nil || again {
				t.Fatalf("%s: again %t, %v", key, again, err)
			}
		}
		if n := w.count(cloud.KindAnswer); n != 4 {
			t.Errorf("%d answers are kept, 4 are alive", n)
		}
		if _, again, err := w.grantOnce("k15", "ask", &did); err != nil || !again {
			t.Errorf("the renewed one: again %t, %v", again, err)
		}
	})
}

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// someJournal is a journal of n records in small segments.
func someJournal(t *testing.T, n int) (*journal.Log, *faultfs.Disk) {
	t.Helper()
	disk := faultfs.New()
	log, err := journal.Create(disk, journal.Identity{Gateway: "gw-1", Journal: holdfast.Evidence, Epoch: someEpoch}, journal.Options{SegmentBytes: journal.MinSegmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := errors.Join(log.Append(journal.Record, fmt.Appendf(nil, "record %d %s", i, strings.Repeat("x", 100))), log.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	return log, disk
}

// A copy comes in pieces, as the cloud gives them, and is put together.
func TestCopyComesInPieces(t *testing.T) {
	log, _ := someJournal(t, 40)
	enc, _ := zstd.NewWriter(nil)
	defer enc.Close()
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		from, err := strconv.ParseUint(strings.TrimPrefix(r.URL.Path, "/v1/gateways/gw-1/journals/evidence/"+someEpoch.String()+"/"), 10, 64)
		if err != nil || r.Method != http.MethodGet || r.URL.RawQuery != "to=33" {
			t.Errorf("call %s %s", r.Method, r.URL)
		}
		piece, err := log.Slice(someEpoch, holdfast.Seq(from), 1000)
		if err != nil {
			t.Error(err)
		}
		const record = 20 + 110 // bytes of a frame, at least
		if n := (33 - from) * record; uint64(len(piece)) > n+n/10 {
			frames, _ := journal.ParseSlice(piece, holdfast.Seq(from))
			end := 0
			for _, f := range frames[:33-from] {
				end += 20 + len(f.Body)
			}
			piece = piece[:end]
		}
		w.Header().Set("Content-Encoding", "zstd")
		w.Write(enc.EncodeAll(piece, nil))
	})
	got, err := c.client.copyOf(t.Context(), gateway.Fetch{Journal: holdfast.Evidence, Epoch: someEpoch, First: 10, To: 33})
	if err != nil {
		t.Fatal(err)
	}
	frames, err := journal.ParseSlice(got, 10)
	if err != nil || len(frames) != 23 {
		t.Errorf("%d records came, want 23: %v", len(frames), err)
	}
}

// A cloud that gives something else gives nothing.
func TestCopyThatIsNone(t *testing.T) {
	log, _ := someJournal(t, 5)
	good, err := log.Slice(someEpoch, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	enc, _ := zstd.NewWriter(nil)
	defer enc.Close()
	zstded := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "zstd")
			w.Write(enc.EncodeAll(b, nil))
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"not found":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"a web page": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"no zstd": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "zstd")
			w.Write(good)
		},
		"nothing":          zstded(nil),
		"other bytes":      zstded([]byte("no frames")),
		"more than asked":  zstded(good),
		"a bomb":           zstded(make([]byte, uplink.MaxSliceBytes+1)),
		"the wrong record": zstded(good[len(good)/2:]),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, answer)
			if got, err := c.client.copyOf(t.Context(), gateway.Fetch{Journal: holdfast.Evidence, Epoch: someEpoch, First: 0, To: 3}); err == nil {
				t.Errorf("%d bytes were taken for a copy", len(got))
			}
		})
	}
}

// badFS fails to open a file in a given way.
type badFS struct {
	journal.FS
	name string
	err  error
}

func (b *badFS) Open(name string) (journal.File, error) {
	if name == b.name && b.err != nil {
		return nil, b.err
	}
	return b.FS.Open(name)
}

// The inspector reads every sealed segment. Damage is told once it is sure of
// it: bytes that do not verify at once, a disk that cannot read the second time.
func TestInspectorTellsDamage(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *faultfs.Disk, b *badFS, victim string)
		tells []int // damage told in each round
	}{
		{"nothing wrong", func(*faultfs.Disk, *badFS, string) {}, []int{0, 0}},
		{"a flipped bit", func(d *faultfs.Disk, _ *badFS, victim string) {
			b := bytes.Clone(d.Bytes(victim))
			b[len(b)/2] ^= 1
			d.Put(victim, b)
		}, []int{1, 1}},
		{"pruned meanwhile", func(_ *faultfs.Disk, b *badFS, victim string) { b.name, b.err = victim, fs.ErrNotExist }, []int{0, 0}},
		{"a bad sector", func(_ *faultfs.Disk, b *badFS, victim string) { b.name, b.err = victim, syscall.EIO }, []int{0, 1}},
		{"too many open files", func(_ *faultfs.Disk, b *badFS, victim string) { b.name, b.err = victim, syscall.EMFILE }, []int{0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, disk := someJournal(t, 40)
			bad := &badFS{FS: disk}
			f := newFeed()
			stop := make(chan struct{})
			defer close(stop)
			go func() { // the core's goroutine
				for {
					select {
					case fn := <-f.calls:
						fn(&core{segments: func(j holdfast.Journal) []journal.SegmentInfo {
							if j == holdfast.Evidence {
								return log.Segments()
							}
							return nil
						}})
					case <-stop:
						return
					}
				}
			}()
			i := &inspector{log: quiet(), feed: func() *feed { return f }, unreadIn: map[string]bool{},
				dir: func(holdfast.Journal) (journal.FS, error) { return bad, nil }, pause: func(bool) time.Duration { return 0 }}
			victim := log.Segments()[1]
			tt.spoil(disk, bad, victim.Name)
			for round, want := range tt.tells {
				if !i.round(context.Background(), true) {
					t.Fatal("the round did not end")
				}
				if len(f.in) != want {
					t.Fatalf("round %d: %d damages told, want %d", round, len(f.in), want)
				}
				for range want {
					if in, ok := (<-f.in).(gateway.SegmentDamaged); !ok || in.File != victim.Name || in.Journal != holdfast.Evidence || in.SetAside {
						t.Errorf("told %+v", in)
					}
				}
			}
			if n := len(log.Segments()) - 1; i.report().Segments != int64(n*len(tt.tells)) {
				t.Errorf("%d segments were checked in %d rounds over %d", i.report().Segments, len(tt.tells), n)
			}
		})
	}
}

// What the cloud refuses is shown with its code until it is taken.
func TestRefusedUploadIsShown(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	b.mu.Lock()
	b.spurn = true
	b.mu.Unlock()
	d := start(t, cfg)
	r := d.until("the refusal", func(r *Report) bool { return r.Refused != nil })
	if x := r.Refused; x.Code != "EVID_FORK" || x.Journal != holdfast.Evidence || x.Expected == nil || *x.Expected != 7 || !strings.Contains(x.Detail, "another leaf") {
		t.Errorf("refused %+v", x)
	}
	if text := d.log.String(); !strings.Contains(text, `"code":"EVID_FORK"`) {
		t.Errorf("the log does not say why:\n%s", text)
	}
	b.mu.Lock()
	b.spurn = false
	b.mu.Unlock()
	d.until("the refusal to be over", func(r *Report) bool { return r.Refused == nil && r.Backlog == 0 && r.Link != holdfast.Offline })
	d.end()
}

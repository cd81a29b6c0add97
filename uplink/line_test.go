package uplink

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"pgregory.net/rapid"
)

var (
	old     = holdfast.Epoch{1}
	current = holdfast.Epoch{2}
	tele    = holdfast.Epoch{3}
)

func none(int64) int64 { return 0 }

func whole(holdfast.Journal) bool { return true }

func line() *Line {
	return NewLine(0, holdfast.CauseStartup, []Head{
		{Journal: holdfast.Evidence, Epoch: old, Size: 5},
		{Journal: holdfast.Evidence, Epoch: current, Size: 10},
		{Journal: holdfast.Telemetry, Epoch: tele, Size: 7},
	})
}

func welcome(oldR, currentR, teleR uint64) Welcome {
	return Welcome{Cursors: []Cursor{
		{Journal: holdfast.Evidence, Epoch: old, Received: oldR, Reconciled: oldR},
		{Journal: holdfast.Evidence, Epoch: current, Received: currentR, Reconciled: currentR},
		{Journal: holdfast.Telemetry, Epoch: tele, Received: teleR, Reconciled: teleR},
	}}
}

// Evidence first and in the order of its epochs, telemetry last, one at a time.
func TestEvidenceGoesFirstAndInOrder(t *testing.T) {
	l := line()
	if l.Next(0, whole) != nil {
		t.Fatal("something to send before the cloud has said how far it is")
	}
	l.CallNow(0)
	l.Up(1, welcome(2, 0, 0))
	for i, want := range []Slot{
		{holdfast.Evidence, old, 2}, {holdfast.Evidence, current, 0}, {holdfast.Telemetry, tele, 0},
	} {
		got := l.Next(2, whole)
		if got == nil || *got != want {
			t.Fatalf("slot %d is %+v, want %+v", i, got, want)
		}
		if l.Next(2, whole) != nil {
			t.Fatal("two uploads under way")
		}
		size := l.track(want.Journal, want.Epoch).Size
		l.Acked(3, *got, Ack{Received: size, Reconciled: size})
	}
	if got := l.Next(4, whole); got != nil {
		t.Fatalf("nothing is left, and %+v is to be sent", got)
	}
}

// The whole way round, with what is recorded at each turn.
func TestStatesGoRound(t *testing.T) {
	l := line()
	state := func(want holdfast.LinkState) {
		t.Helper()
		if s, _, _ := l.State(); s != want {
			t.Fatalf("state %s, want %s", s, want)
		}
	}
	c, _ := l.Up(100, welcome(5, 4, 7))
	if c == nil || c.From != holdfast.Offline || c.To != holdfast.Syncing || c.LastedMs != 100 {
		t.Fatalf("change %+v", c)
	}
	if c := l.Settle(101); c != nil {
		t.Fatalf("settled with a backlog: %+v", c)
	}
	l.Committed(holdfast.Evidence, current, 14, 0) // live records do not hold SYNCED back
	s := l.Next(102, whole)
	l.Acked(103, *s, Ack{Received: 14, Reconciled: 10})
	if c := l.Settle(104); c == nil || c.To != holdfast.Synced {
		t.Fatalf("change %+v, want SYNCED", c)
	}
	state(holdfast.Synced)
	if c := l.Settle(104 + SyncedHoldMillis - 1); c != nil {
		t.Fatalf("left SYNCED early: %+v", c)
	}
	l.Settle(104 + SyncedHoldMillis)
	state(holdfast.Online)
	if c := l.Down(200_000, holdfast.CauseTLSFailure, "x", none); c == nil || c.From != holdfast.Online || c.Cause != holdfast.CauseTLSFailure {
		t.Fatalf("change %+v", c)
	}
	if c := l.Down(200_500, holdfast.CauseTLSFailure, "x", none); c != nil {
		t.Fatalf("the same outage was recorded twice: %+v", c)
	}
}

// Retries back off to a bound and never stop.
func TestBackOff(t *testing.T) {
	l := line()
	now, last := int64(0), int64(0)
	for i := range 30 {
		now = max(now, l.next)
		if !l.CallNow(now) {
			t.Fatalf("retry %d: no call at %d", i, now)
		}
		l.Down(now, holdfast.CauseCloudUnreachable, "", none)
		wait := l.next - now
		if wait < last || wait > BackoffMaxMillis || wait < BackoffMinMillis {
			t.Fatalf("retry %d after %d ms, before it %d", i, wait, last)
		}
		last = wait
	}
	if last != BackoffMaxMillis {
		t.Errorf("retries end at %d ms, want %d", last, BackoffMaxMillis)
	}
}

// A cloud that says later gets no uploads until then, and hellos still.
func TestLater(t *testing.T) {
	l := line()
	w := welcome(0, 0, 0)
	w.LaterMillis = 5000
	l.Up(0, w)
	if l.Next(4999, whole) != nil {
		t.Error("an upload before the time that the cloud named")
	}
	if l.Next(5000, whole) == nil {
		t.Error("no upload after it")
	}
	l.Up(0, Welcome{LaterMillis: 1 << 60})
	if l.later != MaxLaterMillis {
		t.Errorf("later is %d, at most %d", l.later, MaxLaterMillis)
	}
}

// Somebody rings while an upload is under way: the hello comes after it.
func TestRingDuringAnUpload(t *testing.T) {
	l := line()
	l.Up(0, welcome(5, 0, 7))
	s := l.Next(1, whole)
	l.Ring(2)
	l.Acked(3, *s, Ack{Received: 10, Reconciled: 10})
	if !l.Due(4) {
		t.Error("the ring is forgotten")
	}
	if l.CallNow(4); l.Due(5) {
		t.Error("a contact beside a contact")
	}
}

// A contact that is never answered does not hold the line for ever.
func TestUnansweredContactFails(t *testing.T) {
	l := line()
	l.Up(0, welcome(0, 0, 0))
	if l.Next(1, whole) == nil {
		t.Fatal("nothing to send")
	}
	if l.Overdue(1+AnswerLimitMillis) || !l.Overdue(1+AnswerLimitMillis+2) {
		t.Error("overdue at another time than the limit")
	}
}

// The cloud was restored from yesterday's backup: its lower cursor counts, and
// what it has lost is sent again.
func TestCloudRestoredFromBackup(t *testing.T) {
	l := line()
	l.Up(0, welcome(5, 10, 7))
	if l.Next(1, whole) != nil {
		t.Fatal("something to send")
	}
	if _, ahead := l.Up(2, welcome(5, 3, 7)); ahead != nil {
		t.Fatalf("ahead %+v", ahead)
	}
	if s := l.Next(3, whole); s == nil || s.Epoch != current || s.First != 3 {
		t.Errorf("slot %+v, want record 3", s)
	}
}

// The cloud has more than the disk: history was lost here.
func TestCloudAhead(t *testing.T) {
	l := line()
	if _, ahead := l.Up(0, welcome(5, 11, 7)); ahead == nil || ahead.Epoch != current {
		t.Errorf("ahead %+v, want the current epoch", ahead)
	}
}

// A late checkpoint is sent even when no record is: without it the cloud could
// never reconcile what it holds. It is sent once.
func TestCheckpointAlone(t *testing.T) {
	l := line()
	w := welcome(5, 10, 7)
	w.Cursors[1].Reconciled = 6
	l.Up(0, w)
	if l.Next(1, whole) != nil {
		t.Fatal("something to send before there is a checkpoint")
	}
	l.Committed(holdfast.Evidence, current, 10, 10)
	s := l.Next(2, whole)
	if s == nil || s.First != 10 {
		t.Fatalf("slot %+v, want the checkpoint behind record 9", s)
	}
	l.Acked(3, *s, Ack{Received: 10, Reconciled: 6}) // it did not verify there
	if l.Next(4, whole) != nil {
		t.Error("the same checkpoint is sent again and again")
	}
}

// Against a cloud that loses answers, restores backups and is busy, whatever
// happens in whatever order, the line drains when things go well again.
func TestDrainsAfterAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := line()
		now := int64(0)
		cloud := map[holdfast.Epoch]uint64{}
		sizes := map[holdfast.Epoch]uint64{old: 5, current: 10, tele: 7}
		hello := func() { l.Up(now, welcome(cloud[old], cloud[current], cloud[tele])) }
		upload := func(lost bool) {
			s := l.Next(now, whole)
			if s == nil {
				return
			}
			if uint64(s.First) != cloud[s.Epoch] {
				l.Mismatched(now, *s, cloud[s.Epoch])
				return
			}
			cloud[s.Epoch] = sizes[s.Epoch]
			if lost {
				l.Down(now, holdfast.CauseCloudUnreachable, "", none)
				return
			}
			l.Acked(now, *s, Ack{Received: sizes[s.Epoch], Reconciled: sizes[s.Epoch]})
		}
		for range rapid.IntRange(0, 40).Draw(t, "moves") {
			now += int64(rapid.IntRange(0, 40_000).Draw(t, "ms"))
			if l.Overdue(now) {
				l.Down(now, holdfast.CauseCloudUnreachable, "no answer", none)
			}
			if l.CallNow(now) && rapid.Bool().Draw(t, "answered") {
				hello()
			}
			switch rapid.SampledFrom([]string{"upload", "lost", "down", "more", "restore", "settle"}).Draw(t, "move") {
			case "upload":
				upload(false)
			case "lost":
				upload(true)
			case "down":
				l.Down(now, holdfast.CauseNetworkDown, "", none)
			case "more":
				sizes[current]++
				l.Committed(holdfast.Evidence, current, sizes[current], sizes[current])
			case "restore":
				cloud[current] /= 2
			case "settle":
				l.Settle(now)
			}
		}
		for i := 0; ; i++ {
			now += 1000
			if l.Overdue(now) {
				l.Down(now, holdfast.CauseCloudUnreachable, "no answer", none)
			}
			if l.CallNow(now) {
				hello()
			}
			upload(false)
			l.Settle(now)
			if s, _, _ := l.State(); l.Backlog() == 0 && (s == holdfast.Synced || s == holdfast.Online) {
				break
			}
			if i > 400 {
				t.Fatalf("not drained: %d records, line %+v", l.Backlog(), l)
			}
		}
	})
}

// FuzzWire: what comes off the wire decodes or fails, and never panics.
func FuzzWire(f *testing.F) {
	for _, v := range []any{Hello{Gateway: "gw-1"}, Welcome{}, Ack{}, Mismatch{}, Knock{}, Told{}, Enrolled{}} {
		b, _ := json.Marshal(v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []any{new(Hello), new(Welcome), new(Ack), new(Mismatch), new(Knock), new(Told), new(Ask), new(Enrol), new(Enrolled)} {
			if json.Unmarshal(b, v) != nil {
				continue
			}
			if _, err := json.Marshal(v); err != nil {
				t.Fatalf("%T was read and cannot be written: %v", v, err)
			}
		}
		l := line()
		var w Welcome
		if json.Unmarshal(b, &w) == nil {
			l.Up(0, w)
			l.Next(1, whole)
			l.Settle(2)
		}
	})
}

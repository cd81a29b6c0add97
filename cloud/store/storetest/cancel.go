package storetest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/cloud"
)

// goAway lets callers go away at every moment of a transaction, as a killed
// gateway does in the middle of its upload. What was not confirmed to them left
// no trace, what was is there, and whoever comes next is served.
func goAway(t *testing.T, open Open) {
	s, _, _ := open(t)
	count := func(tx cloud.Tx) (n int, err error) {
		list, err := tx.List(cloud.KindSite, cloud.Query{Limit: 1})
		if err != nil || len(list) == 0 {
			return 0, err
		}
		return strconv.Atoi(string(list[0].Body))
	}
	increment := func(tx cloud.Tx) error {
		n, err := count(tx)
		if err == nil {
			_, err = tx.Put(doc(cloud.KindSite, "n", fmt.Sprint(n+1)))
		}
		if err == nil {
			_, err = tx.AppendLog(cloud.LogEntry{Kind: "k", Body: []byte("x")})
		}
		return err
	}
	const rounds = 1500
	done := 0
	for i := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i%300)*time.Microsecond, cancel)
		if i%2 == 0 {
			_ = s.View(ctx, func(tx cloud.Tx) error { _, err := count(tx); return err }) // whatever comes of it
		}
		err := s.Update(ctx, func(tx cloud.Tx) error {
			err := increment(tx)
			if i%7 == 0 {
				cancel() // after the last statement, before the commit
			}
			return err
		})
		timer.Stop()
		cancel()
		if err == nil {
			done++
		}
		have := -1
		if err := s.View(t.Context(), func(tx cloud.Tx) (err error) { have, err = count(tx); return err }); err != nil {
			t.Fatalf("round %d: a reader after a caller that went away: %v", i, err)
		}
		if have != done {
			t.Fatalf("round %d: %d increments, %d were confirmed (the last: %v)", i, have, done, err)
		}
		if i%20 == 0 {
			if err := s.Update(t.Context(), increment); err != nil {
				t.Fatalf("round %d: a writer after a caller that went away: %v", i, err)
			}
			done++
		}
	}
	view(t, s, func(tx cloud.Tx) error {
		list, err := tx.ReadLog(0, 2*rounds)
		if len(list) != done {
			t.Errorf("%d entries in the log, %d were confirmed", len(list), done)
		}
		return err
	})
}

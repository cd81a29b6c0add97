package interop

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/record"
)

// Bounds of the crowd: power comes back to a car park and every charger dials
// and boots at the same moment.
const (
	crowd    = 200
	bootsMax = 30 * time.Second // until the last of them is accepted
)

// A newcomer is a charger that is about to dial and boot.
type newcomer struct {
	*peer
	client foreigner
	boot   func() error
}

func (s *site) newcomer(t *testing.T, id string, old bool) newcomer {
	if old {
		c := madeChargePoint(t, s, id, setup{})
		return newcomer{c.peer, c.cp, func() error {
			got, err := c.booting()
			if err == nil && got.Status != "Accepted" {
				err = errors.New("boot: " + string(got.Status))
			}
			return err
		}}
	}
	c := madeStation(t, s, id, setup{})
	return newcomer{c.peer, c.cs, func() error {
		got, err := c.booting()
		if err == nil && got.Status != "Accepted" {
			err = errors.New("boot: " + string(got.Status))
		}
		return err
	}}
}

// 200 chargers, half of them 1.6 and half 2.0.1, boot at once: each is accepted,
// each has one record, and nobody waits long.
func TestTwoHundredBootsAtOnce(t *testing.T) {
	ids := make([]string, crowd)
	for i := range ids {
		ids[i] = fmt.Sprintf("CP-%03d", i)
	}
	s := newSite(t, "crowd", ids...)
	all := make([]newcomer, crowd)
	for i, id := range ids {
		all[i] = s.newcomer(t, id, i%2 == 0)
	}
	t.Cleanup(func() {
		var leaving sync.WaitGroup
		for _, c := range all {
			leaving.Go(func() { c.hangUp(c.client) })
		}
		leaving.Wait()
	})
	took, errs := make([]time.Duration, crowd), make([]error, crowd)
	var coming sync.WaitGroup
	power := make(chan struct{})
	for i, c := range all {
		coming.Go(func() {
			<-power
			began := time.Now()
			if errs[i] = c.client.Start(chargerURL(s.ocpp)); errs[i] == nil {
				_, errs[i] = try(func() (struct{}, error) { return struct{}{}, c.boot() })
			}
			took[i] = time.Since(began)
		})
	}
	close(power)
	coming.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", ids[i], err)
		}
	}
	p50, p99 := percentiles(took)
	t.Logf("%d boots at once, from the dial to the answer: p50 %s, p99 %s, last %s", crowd, p50, p99, took[crowd-1].Round(time.Millisecond))
	if last := took[crowd-1]; last > bootsMax {
		t.Errorf("the last boot was answered after %s, at most %s", last, bootsMax)
	}
	s.until("all to be connected", func(r *agent.Report) bool {
		n := 0
		for _, c := range r.Chargers {
			if c.Connected {
				n++
			}
		}
		return n == crowd && r.Sockets == crowd
	})
	boots := map[string]int{}
	for _, r := range s.records(holdfast.Evidence) {
		if _, ok := r.Body.(*record.ChargerBooted); ok {
			boots[string(r.Charger)]++
		}
	}
	for _, id := range ids {
		if boots[id] != 1 {
			t.Errorf("%s has %d boots in the journal, want 1", id, boots[id])
		}
	}
}

package demo

import (
	"reflect"
	"testing"
	"time"
)

// Every seed shows every danger, and ends in time.
func TestEveryPlanHasEveryDanger(t *testing.T) {
	longest := time.Duration(0)
	for seed := range uint64(2000) {
		p := NewPlan(seed)
		longest = max(longest, p.Length)
		if p.Length > 22*time.Second {
			t.Errorf("seed %d: %s long", seed, p.Length)
		}
		if !reflect.DeepEqual(p, NewPlan(seed)) {
			t.Fatalf("seed %d draws two plans", seed)
		}
		checkKillMidSession(t, seed, &p)
		checkSpans(t, seed, &p)
	}
	t.Logf("longest plan: %s", longest)
	if reflect.DeepEqual(NewPlan(1).Sites, NewPlan(2).Sites) {
		t.Error("the seed moves nothing")
	}
}

// checkKillMidSession: at least one gateway dies while its link is cut and a
// session runs that began well before.
func checkKillMidSession(t *testing.T, seed uint64, p *Plan) {
	t.Helper()
	for _, s := range p.Sites {
		for _, k := range s.Kills {
			for _, visits := range s.Visits {
				for _, v := range visits {
					if during(s.Cuts, k.At) && v.Arrive+300*time.Millisecond < k.At && k.At < v.Arrive+v.Charge-300*time.Millisecond {
						return
					}
				}
			}
		}
	}
	t.Errorf("seed %d: no gateway is killed in the middle of a session without a link", seed)
}

// checkSpans: at the harbour one session begins with a link and ends without,
// one is wholly without, and somebody is refused without.
func checkSpans(t *testing.T, seed uint64, p *Plan) {
	t.Helper()
	a := p.Sites[harbour]
	span, whole, refused := a.Visits[0][0], a.Visits[1][0], a.Visits[0][1]
	if during(a.Cuts, span.Arrive) || !during(a.Cuts, span.Arrive+span.Charge) {
		t.Errorf("seed %d: no session spans the cut", seed)
	}
	if !during(a.Cuts, whole.Arrive) || !during(a.Cuts, whole.Arrive+whole.Charge) {
		t.Errorf("seed %d: no session lies within the cut", seed)
	}
	if !refused.Refused || !during(a.Cuts, refused.Arrive+time.Second) || refused.Arrive < span.Arrive+span.Charge+500*time.Millisecond {
		t.Errorf("seed %d: nobody is refused within the cut", seed)
	}
}

func during(cuts []Cut, at time.Duration) bool {
	for _, c := range cuts {
		if c.From < at && at < c.To {
			return true
		}
	}
	return false
}

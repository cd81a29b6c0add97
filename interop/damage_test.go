package interop

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
)

// verdict is what `holdfast journal verify` says about the site's evidence.
type verdict struct {
	code     int
	Problems []struct {
		Segment string `json:"segment"`
		Offset  int64  `json:"offset"`
	} `json:"problems"`
}

func (s *site) verify() (v verdict) {
	s.t.Helper()
	program := filepath.Join(here.dir, "holdfast")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/holdfast").CombinedOutput(); err != nil {
		s.t.Fatalf("build holdfast: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "journal", "verify", "--json", filepath.Join(s.dir, "evidence"))
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	v.code = cmd.ProcessState.ExitCode()
	if err := json.Unmarshal(out, &v); err != nil {
		s.t.Fatalf("verify: %v: %s", err, out)
	}
	return v
}

// A bit flips in a sealed segment of a stopped gateway, in evidence that the
// cloud has long had in its books. `holdfast journal verify` says where. The
// gateway starts, finds it by itself, sets it aside and alarms, and charging goes
// on without a link; when the link is back the cloud's copy takes its place.
func TestDamagedSegment(t *testing.T) {
	t.Parallel()
	s := newSite(t, "damage", "CP-1")
	s.stop()
	f, err := os.OpenFile(s.config, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("storage:\n  segment_kib: 4\n")
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.online()
	c := newChargePoint(t, s, "CP-1", setup{})
	c.boot()
	at := seconds(time.Now())
	wh := int64(1_000)
	var want []metered
	charge := func(offline bool) {
		c.stop(c.begin(cardA, wh, at), cardA, wh+100, at.Add(time.Second))
		want = append(want, metered{charger: "CP-1", start: wh, stop: wh + 100, offline: offline})
		wh, at = wh+100, at.Add(2*time.Second)
	}
	for range 8 {
		charge(false)
	}
	s.balanced(want...)
	s.stop()
	if v := s.verify(); v.code != 0 {
		t.Fatalf("before the damage: %+v", v)
	}
	segments, err := filepath.Glob(filepath.Join(s.dir, "evidence", "*.seg"))
	if err != nil || len(segments) < 4 {
		t.Fatalf("%d segments, want at least 4: %v", len(segments), err)
	}
	slices.Sort(segments)
	victim := segments[1]
	b, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(victim, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v := s.verify()
	if v.code != 1 || len(v.Problems) != 1 || v.Problems[0].Segment != filepath.Base(victim) || v.Problems[0].Offset == 0 {
		t.Fatalf("after the damage: %+v, want exit code 1 and %s", v, filepath.Base(victim))
	}

	s.set(s.uplink, faultproxy.Refuse)
	s.start()
	c.wait("the reconnection", c.up)
	r := s.until("the damage to be found", func(r *agent.Report) bool { return len(r.Gaps) == 1 })
	if g := r.Gaps[0]; g.File != filepath.Base(victim) || g.Offset != v.Problems[0].Offset || g.Lost {
		t.Errorf("the status names %+v, verify named %+v", g, v.Problems[0])
	}
	charge(true)
	s.set(s.uplink, faultproxy.Pass)
	s.until("the repair", func(r *agent.Report) bool { return len(r.Gaps) == 0 && r.Link != holdfast.Offline })
	charge(false)
	s.balanced(want...)
	alarms := slices.DeleteFunc(list[bookException](t, "/v1/exceptions", url.Values{"site": {s.name}}), func(x bookException) bool {
		return x.Code != "EVID_SEGMENT_DAMAGED" || x.State != "resolved" || !strings.Contains(x.Detail, filepath.Base(victim))
	})
	if len(alarms) != 1 {
		t.Errorf("%d alarms that the repair has resolved, want 1", len(alarms))
	}
	s.stop()
	if v := s.verify(); v.code != 0 {
		t.Errorf("after the repair: %+v", v)
	}
	repaired, err := os.ReadFile(victim)
	if err != nil || len(repaired) == 0 {
		t.Errorf("the repaired segment: %d bytes, %v", len(repaired), err)
	}
	if aside, err := os.ReadFile(victim + ".bad-0"); err != nil || string(aside) != string(b) {
		t.Errorf("the damaged bytes were not kept: %v", err)
	}
	var became []record.Repair
	for _, r := range s.records(holdfast.Evidence) {
		if q, ok := r.Body.(*record.SegmentQuarantined); ok {
			became = append(became, q.Repair)
		}
	}
	if !slices.Equal(became, []record.Repair{record.RepairPending, record.RepairCloud}) {
		t.Errorf("the journal says %v of the segment", became)
	}
}

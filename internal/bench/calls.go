package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Aims of the calls.
const (
	loadChargers  = 200
	minEchoShare  = 0.35
	maxCallP99Ms  = 30
	loadRounds    = 3 // each server gets so many windows, in turn
	serverCallsIn = 200
)

// A served is a server under load.
type served struct {
	name  string
	url   string
	flags []string
	loads []*Load
	proc  *process
	cpu   []float64 // of the server's process for each call, in µs
}

// callsPerSecond puts the same load on the gateway, on a server that only
// acknowledges, and on stateless handlers of another library. They take turns,
// so that what the machine does meanwhile meets all of them.
func callsPerSecond(r *Run) error {
	n := r.Count(loadChargers, 10)
	s, err := r.newSite(n)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	gateway := &served{name: "gateway", proc: s.proc, url: "ws://" + s.ocpp + "/ocpp", flags: []string{"-second"}}
	echo, stopEcho, err := r.peer("echo")
	if err != nil {
		return err
	}
	ocppgo, stopOCPPGo, err := r.peer("ocppgo")
	if err != nil {
		return err
	}
	// All rounds and the profile together must stay below the sessions that a site
	// may hold unreconciled (access.MaxHeld).
	window := r.For(4*time.Second, 500*time.Millisecond)
	for round := range r.Count(loadRounds, 1) {
		for _, v := range []*served{echo, gateway, ocppgo} {
			before, err := v.proc.cpu()
			if err != nil {
				return err
			}
			l, err := r.load(v, n, window)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			after, err := v.proc.cpu()
			if err != nil {
				return err
			}
			v.cpu = append(v.cpu, float64((after-before).Microseconds())/float64(max(l.All, 1)))
			r.Say("round %d: %-8s %8.0f calls/s, p50 %.2f ms, p99 %.2f ms, %.0f calls of its own in flight, %.0f µs of processor time a call",
				round+1, v.name, float64(l.Calls)/l.Seconds, l.P50Ms, l.P99Ms, l.InFlight, v.cpu[len(v.cpu)-1])
			v.loads = append(v.loads, l)
		}
	}
	rss, err := s.proc.rss()
	if err != nil {
		return err
	}
	for _, end := range []func() error{s.stop, stopEcho, stopOCPPGo} {
		if err := end(); err != nil {
			return err
		}
	}
	reportCalls(r, gateway, echo, ocppgo, n)
	r.Add(Figure{Name: "gateway, resident memory after the load", Value: mib(rss), Unit: "MiB"})
	return r.profileCalls(s, n, window)
}

func reportCalls(r *Run, gateway, echo, ocppgo *served, n int) {
	rate := func(v *served) float64 {
		return v.median(func(l *Load) float64 { return float64(l.Calls) / l.Seconds })
	}
	own, e, o := rate(gateway), rate(echo), rate(ocppgo)
	r.Add(Figure{Name: "calls of " + fmt.Sprint(n) + " chargers", Value: own, Unit: "calls/s", Of: fmt.Sprintf("echo, %.0f calls/s", e), Ratio: own / e,
		Aim: fmt.Sprintf("at least %.2f", minEchoShare), Met: own >= minEchoShare*e})
	r.Add(Figure{Name: "the same", Value: own, Unit: "calls/s", Of: fmt.Sprintf("stateless ocpp-go, %.0f calls/s", o), Ratio: own / o,
		Aim: "at least 1", Met: own >= o})
	p99 := gateway.median(func(l *Load) float64 { return l.P99Ms })
	p99e := echo.median(func(l *Load) float64 { return l.P99Ms })
	r.Add(Figure{Name: "answer, p50", Value: gateway.median(func(l *Load) float64 { return l.P50Ms }), Unit: "ms",
		Of: fmt.Sprintf("ocpp-go, %.1f ms", ocppgo.median(func(l *Load) float64 { return l.P50Ms }))})
	r.Add(Figure{Name: "answer, p99", Value: p99, Unit: "ms", Of: fmt.Sprintf("echo, %.1f ms", p99e), Ratio: p99 / p99e,
		Aim: fmt.Sprintf("at most %d ms", maxCallP99Ms), Met: p99 <= maxCallP99Ms})
	r.Add(Figure{Name: "processor time of the server for a call", Value: middle(gateway.cpu), Unit: "µs",
		Of: fmt.Sprintf("echo, %.0f µs; ocpp-go, %.0f µs", middle(echo.cpu), middle(ocppgo.cpu)), Ratio: middle(gateway.cpu) / middle(ocppgo.cpu),
		Note: "the load's own processor time comes on top, and is the same for all three; the ratio is to ocpp-go"})
	r.Add(Figure{Name: "the server's own calls in flight", Value: gateway.median(func(l *Load) float64 { return l.InFlight }), Unit: "calls",
		Of: fmt.Sprintf("echo, %.0f; ocpp-go sends none", echo.median(func(l *Load) float64 { return l.InFlight }))})
}

func (v *served) median(of func(*Load) float64) float64 {
	var all []float64
	for _, l := range v.loads {
		all = append(all, of(l))
	}
	return middle(all)
}

// middle returns the median, 0 of nothing.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// peer runs a role of this program as a server and returns how to end it.
func (r *Run) peer(role string) (*served, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	p, err := r.spawn(filepath.Join(r.Dir, role+".log"), self, role, "-listen", addr)
	if err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(readyWithin)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return &served{name: role, url: "ws://" + addr + "/ocpp", proc: p}, p.kill, nil
		}
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("%s does not listen: %w; %s", role, err, p.tail())
		}
		select {
		case <-p.gone:
			return nil, nil, fmt.Errorf("%s ended: %w; %s", role, p.err, p.tail())
		case <-time.After(askEvery):
		}
	}
}

// load runs the load against v, in a process of its own.
func (r *Run) load(v *served, n int, window time.Duration) (*Load, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"load", "-url", v.url, "-n", fmt.Sprint(n), "-window", window.String(), "-warm", (window / 3).String()}, v.flags...)
	cmd := exec.CommandContext(r.Ctx, self, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("load: %w: %s", err, errs.Bytes())
	}
	l := &Load{}
	return l, json.Unmarshal(out.Bytes(), l)
}

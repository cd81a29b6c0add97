package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"

	"github.com/holdfast-ev/holdfast/gateway"
)

// Bounds of NTP. What is outside them is left out; time is then what it was.
const (
	MaxNTPServers = 8                      // check-config refuses more
	NTPTimeout    = 3 * time.Second        // per question
	NTPMaxRTT     = time.Second            // a longer round trip says too little
	NTPMaxRoot    = 3 * time.Second        // root distance (RFC 5905 11.2): what the server itself may be off
	NTPAgree      = 500 * time.Millisecond // servers this close to the median agree with it
	NTPFirst      = 64 * time.Second       // between questions until an answer was of use
	NTPEvery      = 1024 * time.Second     // between questions after that
	NTPRested     = 24 * time.Hour         // a server that sent a kiss-o'-death is left alone for so long
)

// An ntpClient asks servers what time it is and gives the clock a hint when
// most of them agree. It knows the time no better than who answers on the
// network: nothing that it says is proof (RFC 4330, RFC 5905; docs/time.md).
type ntpClient struct {
	log     *slog.Logger
	clock   *Clock
	servers []string
	tell    func(gateway.Input)

	rested map[string]time.Time // servers that asked to be left alone, and until when
}

func newNTPClient(log *slog.Logger, clock *Clock, servers []string, tell func(gateway.Input)) *ntpClient {
	return &ntpClient{log: log, clock: clock, servers: servers, tell: tell, rested: make(map[string]time.Time)}
}

// run asks until ctx ends. With no servers it returns at once.
func (n *ntpClient) run(ctx context.Context) {
	for len(n.servers) > 0 {
		pause := NTPFirst
		if n.ask() {
			pause = NTPEvery
		}
		select {
		case <-time.After(pause + rand.N(pause/8)):
		case <-ctx.Done():
			return
		}
	}
}

// ask asks every server once, and reports whether they came to a time.
func (n *ntpClient) ask() bool {
	offsets := n.answers()
	offset, agree := agreed(offsets)
	if most := len(n.servers)/2 + 1; agree < most {
		n.log.Debug("ntp: no time", "answers", len(offsets), "agree", agree, "wanted", most)
		return false
	}
	h := n.clock.Hint(offset, agree)
	if h.Verdict == "refused" {
		n.log.Warn("ntp: the hint is not heeded", "offset_ms", h.OffsetMs, "why", h.Detail)
		n.tell(gateway.ClockDoubted{Source: string(SourceNTP), OffsetMs: h.OffsetMs, Detail: fmt.Sprintf("%d servers agree: %s", agree, h.Detail)})
	}
	return true
}

// answers returns the offsets (server minus our clock) of what can be used.
func (n *ntpClient) answers() (offsets []time.Duration) {
	type answer struct {
		server string
		r      *ntp.Response
		err    error
	}
	got := make([]answer, len(n.servers))
	var asking sync.WaitGroup
	for i, server := range n.servers {
		if time.Now().Before(n.rested[server]) {
			continue
		}
		asking.Go(func() {
			r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: NTPTimeout, GetSystemTime: n.now})
			got[i] = answer{server, r, err}
		})
	}
	asking.Wait()
	for _, a := range got {
		if a.server == "" {
			continue
		}
		err := a.err
		if err == nil {
			err = usable(a.r)
		}
		if errors.Is(err, ntp.ErrKissOfDeath) {
			n.rested[a.server] = time.Now().Add(NTPRested)
		}
		if err != nil {
			n.log.Debug("ntp: answer left out", "server", a.server, "err", err.Error())
			continue
		}
		offsets = append(offsets, a.r.ClockOffset)
	}
	return offsets
}

func (n *ntpClient) now() time.Time { return n.clock.Now().Wall.Time() }

// usable says why an answer is left out: unsynchronised or stale (RFC 5905
// appendix A.5.1.1), a kiss-o'-death (section 7.4), or too vague.
func usable(r *ntp.Response) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.RTT > NTPMaxRTT {
		return fmt.Errorf("round trip of %s, at most %s", r.RTT, NTPMaxRTT)
	}
	if r.RootDistance > NTPMaxRoot {
		return fmt.Errorf("root distance of %s, at most %s", r.RootDistance, NTPMaxRoot)
	}
	return nil
}

// agreed returns the median offset, and how many are close to it.
func agreed(offsets []time.Duration) (median time.Duration, agree int) {
	if len(offsets) == 0 {
		return 0, 0
	}
	slices.Sort(offsets)
	median = offsets[(len(offsets)-1)/2]
	for _, o := range offsets {
		if (o - median).Abs() <= NTPAgree {
			agree++
		}
	}
	return median, agree
}

func (c *TimeConfig) check(k *checker) {
	if len(c.NTP) > MaxNTPServers {
		k.wrong("time.ntp", "%d servers, at most %d", len(c.NTP), MaxNTPServers)
	}
	seen := map[string]bool{}
	for i, s := range c.NTP {
		path := fmt.Sprintf("time.ntp[%d]", i)
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = strings.Trim(s, "[]"), "123"
		}
		if p, err := net.LookupPort("udp", port); err != nil || p < 1 || host == "" || strings.ContainsAny(host, " /@?#") || len(host) > 253 {
			k.wrong(path, "%q, want a host, or host:port, for example ntp.example or 192.0.2.1:123", s)
		}
		if seen[s] {
			k.wrong(path, "%q is listed twice; one server cannot outvote another", s)
		}
		seen[s] = true
	}
}

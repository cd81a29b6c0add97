package agent

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// A timeServer is an NTP server on a real UDP socket, written from RFC 5905
// figure 8 and not from the client under test.
type timeServer struct {
	addr  string
	asked atomic.Int64
}

type answerer struct {
	offset  time.Duration // it lies by this
	stratum byte
	kiss    string
	leap    byte
	root    uint16 // root dispersion, seconds
	forged  bool   // answers another question
	stale   bool
}

func newTimeServer(t *testing.T, a answerer) *timeServer {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &timeServer{addr: pc.LocalAddr().String()}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			s.asked.Add(1)
			if n < 48 {
				continue
			}
			_, _ = pc.WriteTo(a.packet(buf[:48]), from)
		}
	}()
	return s
}

// ntpTime is seconds since 1900 with a 32-bit fraction.
func ntpTime(t time.Time) uint64 {
	s := uint64(t.Unix() + 2_208_988_800)
	return s<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

func (a answerer) packet(q []byte) []byte {
	now := time.Now().Add(a.offset)
	p := make([]byte, 48)
	p[0] = a.leap<<6 | 4<<3 | 4 // server
	p[1] = a.stratum
	p[2], p[3] = 6, 0xec
	binary.BigEndian.PutUint32(p[8:], uint32(a.root)<<16)
	copy(p[12:], "GPS\x00")
	if a.kiss != "" {
		p[1] = 0
		copy(p[12:], a.kiss)
	}
	ref := now.Add(-time.Minute)
	if a.stale {
		ref = now.Add(-48 * time.Hour)
	}
	binary.BigEndian.PutUint64(p[16:], ntpTime(ref))
	copy(p[24:32], q[40:48])
	if a.forged {
		p[31] ^= 1
	}
	binary.BigEndian.PutUint64(p[32:], ntpTime(now))
	binary.BigEndian.PutUint64(p[40:], ntpTime(now))
	return p
}

// TestNTPOverUDP_issue3 asks real servers on loopback: what a majority of them
// agrees on becomes a hint, and nothing else does.
func TestNTPOverUDP_issue3(t *testing.T) {
	good, hour := answerer{stratum: 2}, answerer{stratum: 2, offset: time.Hour}
	for _, tt := range []struct {
		name    string
		servers []answerer
		usable  int           // answers that count
		hint    bool          // there is one
		offset  time.Duration // of it
	}{
		{"one good", []answerer{good}, 1, true, 0},
		{"three, one liar", []answerer{good, hour, good}, 3, true, 0},
		{"two that disagree", []answerer{good, hour}, 2, false, 0},
		{"three liars of one mind", []answerer{hour, hour, hour}, 3, true, time.Hour},
		{"kiss-o'-death", []answerer{{kiss: "DENY"}}, 0, false, 0},
		{"unsynchronised", []answerer{{stratum: 2, leap: 3}}, 0, false, 0},
		{"stratum 16", []answerer{{stratum: 16}}, 0, false, 0},
		{"root distance", []answerer{{stratum: 3, root: 5}}, 0, false, 0},
		{"stale", []answerer{{stratum: 3, stale: true}}, 0, false, 0},
		{"one of three is well", []answerer{good, {stratum: 16}, {kiss: "RATE"}}, 1, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for _, a := range tt.servers {
				names = append(names, newTimeServer(t, a).addr)
			}
			c := NewClock(1)
			n := newNTPClient(quiet(), c, names, func(gateway.Input) {})
			if got := len(n.answers()); got != tt.usable {
				t.Errorf("%d usable answers, want %d", got, tt.usable)
			}
			clear(n.rested)
			if got := n.ask(); got != tt.hint {
				t.Fatalf("a hint: %v, want %v", got, tt.hint)
			}
			if !tt.hint {
				want := SourceSystem
				if s := c.Status(); s.Source != want || s.NTP != nil {
					t.Errorf("clock from %s, %+v", s.Source, s.NTP)
				}
				return
			}
			off := time.Duration(c.Now().Wall-holdfast.UnixMilli(time.Now().UnixMilli())) * time.Millisecond
			if s := c.Status(); (off-tt.offset).Abs() > 200*time.Millisecond || s.Source != SourceNTP || s.Quality != holdfast.Informative {
				t.Errorf("the clock is %s off the system's, want %s; %+v", off, tt.offset, s)
			}
		})
	}
}

// TestNTPLiarAgainstASignedTime_issue3: three servers of one mind against a time
// that the cloud signed: the clock stays, and the contradiction is told.
func TestNTPLiarAgainstASignedTime_issue3(t *testing.T) {
	var names []string
	for range 3 {
		names = append(names, newTimeServer(t, answerer{stratum: 1, offset: fifty}).addr)
	}
	var told []gateway.Input
	c := NewClock(1)
	now := holdfast.UnixMilli(time.Now().UnixMilli())
	c.Sync(now, 0)
	n := newNTPClient(quiet(), c, names, func(in gateway.Input) { told = append(told, in) })
	n.ask()
	if after := c.Now(); after.Quality != holdfast.Synchronised || after.Wall < now || after.Wall > now.Add(time.Minute) {
		t.Errorf("the clock went from %s to %+v", now, after)
	}
	if len(told) != 1 {
		t.Fatalf("told %v", told)
	}
	if d, ok := told[0].(gateway.ClockDoubted); !ok || d.Source != "ntp" || (time.Duration(d.OffsetMs)*time.Millisecond-fifty).Abs() > time.Second {
		t.Errorf("told %+v", told[0])
	}
}

// TestKissOfDeathIsObeyed_RFC5905_7_4: the server is not asked again.
func TestKissOfDeathIsObeyed_RFC5905_7_4(t *testing.T) {
	s := newTimeServer(t, answerer{kiss: "RATE"})
	n := newNTPClient(quiet(), NewClock(1), []string{s.addr}, nil)
	n.ask()
	n.ask()
	if asked := s.asked.Load(); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

// TestForgedAnswerIsLeftOut: an answer that does not return our nonce (the
// transmit time of the question) was made by somebody who did not see it.
func TestForgedAnswerIsLeftOut(t *testing.T) {
	s := newTimeServer(t, answerer{stratum: 1, forged: true})
	_, err := ntp.QueryWithOptions(s.addr, ntp.QueryOptions{Timeout: 200 * time.Millisecond})
	if err == nil {
		t.Fatal("taken")
	}
	if timeout := net.Error(nil); !errors.Is(err, ntp.ErrServerResponseMismatch) && !errors.As(err, &timeout) {
		t.Errorf("refused for another reason: %v", err)
	}
}

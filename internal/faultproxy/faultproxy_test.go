package faultproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers each line with itself and counts them.
type echo struct {
	l     net.Listener
	lines atomic.Int64
	heard chan string
}

func newEcho(t *testing.T) *echo {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{l: l, heard: make(chan string, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					s, err := r.ReadString('\n')
					if err != nil {
						return
					}
					e.lines.Add(1)
					e.heard <- s
					io.WriteString(c, s)
				}
			}()
		}
	}()
	return e
}

func setup(t *testing.T) (*echo, *Proxy) {
	e := newEcho(t)
	p, err := New(e.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e, p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dialAndHear returns how a connection ends; a reset may show in the dial.
func dialAndHear(p *Proxy) error {
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = hear(c, 5*time.Second)
	return err
}

func say(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s+"\n"); err != nil {
		t.Fatal(err)
	}
}

func hear(c net.Conn, within time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 256)
	n, err := c.Read(b)
	return strings.TrimSpace(string(b[:n])), err
}

func set(t *testing.T, p *Proxy, m Mode) {
	t.Helper()
	if err := p.Set(m); err != nil {
		t.Fatalf("%s: %v", m, err)
	}
}

func TestPassAndFlap(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	say(t, c, "hello")
	if s, err := hear(c, 5*time.Second); s != "hello" {
		t.Fatalf("heard %q, %v", s, err)
	}
	p.Cut()
	if _, err := hear(c, 5*time.Second); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after a cut: %v, want a reset", err)
	}
	c = dial(t, p)
	say(t, c, "again")
	if s, err := hear(c, 5*time.Second); s != "again" {
		t.Errorf("heard %q, %v", s, err)
	}
	if n := p.Accepted(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestRefuseAndComeBackOnTheSamePort(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	for range 5 {
		set(t, p, Refuse)
		if _, err := hear(c, 5*time.Second); err == nil {
			t.Error("an old connection lives")
		}
		if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v, want a refusal", err)
		}
		set(t, p, Pass)
		c = dial(t, p)
		say(t, c, "back")
		if s, err := hear(c, 5*time.Second); s != "back" {
			t.Errorf("heard %q, %v", s, err)
		}
	}
}

func TestReset(t *testing.T) {
	_, p := setup(t)
	set(t, p, Reset)
	if err := dialAndHear(p); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

func TestBlackHoleHoldsAndReleases(t *testing.T) {
	e, p := setup(t)
	c := dial(t, p)
	set(t, p, BlackHole)
	say(t, c, "into the dark")
	if s, err := hear(c, 50*time.Millisecond); s != "" || err == nil {
		t.Errorf("heard %q, %v", s, err)
	}
	if n := e.lines.Load(); n != 0 {
		t.Errorf("the server heard %d lines", n)
	}
	set(t, p, Pass)
	if s, err := hear(c, 5*time.Second); s != "into the dark" {
		t.Errorf("heard %q, %v", s, err)
	}
}

func TestLoseAnswers(t *testing.T) {
	e, p := setup(t)
	set(t, p, LoseAnswers)
	c := dial(t, p)
	say(t, c, "pay once")
	if s := <-e.heard; s != "pay once\n" {
		t.Errorf("the server heard %q", s)
	}
	if s, err := hear(c, 50*time.Millisecond); s != "" || err == nil {
		t.Errorf("heard %q, %v", s, err)
	}
	if n := e.lines.Load(); n != 1 {
		t.Errorf("the server heard %d lines", n)
	}
}

func TestShape(t *testing.T) {
	_, p := setup(t)
	p.Shape(20*time.Millisecond, 1000)
	c := dial(t, p)
	began := time.Now()
	say(t, c, strings.Repeat("x", 99))
	if s, err := hear(c, 5*time.Second); err != nil || s == "" {
		t.Fatalf("heard %q, %v", s, err)
	}
	// 100 bytes at 1,000 a second there, and the first piece of the way back.
	if took := time.Since(began); took < 140*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

func TestDeadTarget(t *testing.T) {
	e, p := setup(t)
	e.l.Close()
	if err := dialAndHear(p); err == nil {
		t.Error("a connection to nowhere lives")
	}
}

func TestCloseEndsBlackHoledConnections(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	set(t, p, BlackHole)
	say(t, c, "stuck")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Set(Pass); !errors.Is(err, net.ErrClosed) {
		t.Errorf("set after close: %v", err)
	}
	if _, err := hear(c, 5*time.Second); err == nil {
		t.Error("a connection outlived the proxy")
	}
}

// The link breaks behind exactly so many bytes of one way, and stays broken
// until somebody mends it.
func TestCutAfter(t *testing.T) {
	for _, tt := range []struct {
		bytes   int
		answers bool
		heard   string // by the client
		lines   int64  // by the server
	}{{0, true, "", 1}, {3, true, "hel", 1}, {6, true, "hello\n", 1}, {0, false, "", 0}, {3, false, "", 0}, {6, false, "", 1}} {
		e, p := setup(t)
		c := dial(t, p)
		p.CutAfter(tt.bytes, tt.answers)
		io.WriteString(c, "hello\n")
		heard, err := io.ReadAll(c)
		if got := string(heard); err == nil || tt.answers && got != tt.heard {
			t.Errorf("after %d bytes (answers: %v) the client heard %q, %v", tt.bytes, tt.answers, got, err)
		}
		if !p.Broken() {
			t.Errorf("after %d bytes the link works", tt.bytes)
		}
		if tt.lines == 1 {
			<-e.heard
		}
		if n := e.lines.Load(); n != tt.lines {
			t.Errorf("after %d bytes (answers: %v) the server heard %d lines", tt.bytes, tt.answers, n)
		}
		if err := p.Set(Pass); err != nil {
			t.Fatal(err)
		}
		c = dial(t, p)
		io.WriteString(c, "again\n")
		if s, err := bufio.NewReader(c).ReadString('\n'); err != nil || s != "again\n" {
			t.Errorf("mended: %q, %v", s, err)
		}
	}
}

// One of two client addresses is cut off; the other is not.
func TestBar(t *testing.T) {
	_, p := setup(t)
	from := func(a string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a)}}
		c, err := d.Dial("tcp", p.Addr())
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	talks := func(c net.Conn) bool {
		io.WriteString(c, "hello\n")
		_, err := bufio.NewReader(c).ReadString('\n')
		return err == nil
	}
	one, err1 := from("127.0.0.2")
	two, err2 := from("127.0.0.3")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !talks(one) || !talks(two) {
		t.Fatal("a way does not work to begin with")
	}
	p.Bar(netip.MustParseAddr("127.0.0.2"), true)
	if talks(one) || !talks(two) {
		t.Error("the wrong connection was cut")
	}
	if c, err := from("127.0.0.2"); err == nil && talks(c) {
		t.Error("a barred client is let in")
	}
	p.Bar(netip.MustParseAddr("127.0.0.2"), false)
	if c, err := from("127.0.0.2"); err != nil || !talks(c) {
		t.Errorf("no longer barred: %v", err)
	}
}

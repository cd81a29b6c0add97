package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-ev/holdfast/gateway"
)

// CutOutEvery is how often the cut-out's input is read.
const CutOutEvery = 50 * time.Millisecond

// maxLineBytes is more than any value of a line has.
const maxLineBytes = 16

// A cutOut watches the input of the site's safety cut-out and drives its
// output. The input is one file whose content is 1 or 0: a file that another
// program writes, or a GPIO line's value file. What cannot be read is tripped.
type cutOut struct {
	cfg  CutOutConfig
	log  *slog.Logger
	feed func() *feed

	want atomic.Int32 // of the output: 0 nothing said yet, 1 off, 2 on
	said *feed        // the core that was told
	last gateway.CutOut
	done int32 // what the output was set to
}

// run watches until ctx ends. A core that is new is told at once.
func (c *cutOut) run(ctx context.Context) {
	if c.cfg.File == "" {
		return
	}
	tick := time.NewTicker(CutOutEvery)
	defer tick.Stop()
	for {
		c.look()
		c.drive()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the input, and tells the core what has changed.
func (c *cutOut) look() {
	f := c.feed()
	if f == nil {
		return
	}
	in := c.read()
	if f == c.said && in == c.last {
		return
	}
	if in.Active != c.last.Active || c.said == nil {
		c.log.Warn("safety cut-out input", "line", in.Line, "active", in.Active, "detail", in.Detail)
	}
	if f.put(in) {
		c.said, c.last = f, in
	}
}

func (c *cutOut) read() gateway.CutOut {
	in := gateway.CutOut{Line: c.cfg.File, Active: true}
	v, err := readLine(c.cfg.File)
	active := c.cfg.active()
	switch {
	case err != nil:
		in.Detail = "cannot be read: " + err.Error()
	case v == active:
	case v == "0" || v == "1":
		in.Active = false
	default:
		in.Detail = fmt.Sprintf("reads %q, want 0 or 1", v)
	}
	return in
}

// readLine reads a line's value without ever waiting for one.
func readLine(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, maxLineBytes)
	n, err := f.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(string(b[:n])), nil
}

// output takes what the core wants; drive brings it about.
func (c *cutOut) output(o gateway.Output) {
	if o.Line != gateway.LineContactor {
		return
	}
	if o.On {
		c.want.Store(2)
	} else {
		c.want.Store(1)
	}
}

// drive writes the output, again until it works.
func (c *cutOut) drive() {
	want := c.want.Load()
	if want == c.done || want == 0 || c.cfg.Contactor == "" {
		return
	}
	if err := os.WriteFile(c.cfg.Contactor, []byte{byte('0' + want - 1), '\n'}, 0o644); err != nil {
		c.log.Error("contactor output not written", "err", err.Error())
		return
	}
	c.done = want
}

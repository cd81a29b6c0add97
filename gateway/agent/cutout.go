package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
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

	want    atomic.Int32 // of the output: 0 nothing said yet, 1 off, 2 on
	said    *feed        // the core that was told
	last    gateway.CutOut
	done    int32 // what the output was set to
	failing bool  // to set it, at the last try
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
	err := os.WriteFile(c.cfg.Contactor, []byte{byte('0' + want - 1), '\n'}, 0o644)
	if err != nil && !c.failing {
		c.log.Error("contactor output not written; tried again until it is", "err", err.Error())
	}
	if c.failing = err != nil; !c.failing {
		c.done = want
	}
}

// releaseCutOut takes a person's release, on the unix socket only: whoever can
// open that is at the site, or has been let in there.
func releaseCutOut(w http.ResponseWriter, r *http.Request, m *metrics, e *engine) {
	if !overSocket(r) {
		http.Error(w, "the cut-out is released over the unix socket only", http.StatusForbidden)
		return
	}
	var body struct {
		By string `json:"by"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&body); err != nil || body.By == "" || len(body.By) > 100 {
		http.Error(w, "who releases it? want {\"by\": NAME}, at most 100 bytes", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*scrapeTimeout)
	defer cancel()
	if why, status := refuseRelease(ctx, m); why != "" {
		http.Error(w, why, status)
		return
	}
	f := e.feed()
	if f == nil || !f.put(gateway.CutOutRelease{By: body.By}) {
		http.Error(w, "the core is recovering; try again", http.StatusServiceUnavailable)
		return
	}
	for { // answered when it is on the disk, or when it was decided otherwise
		now, err := m.report(ctx)
		switch {
		case err != nil:
			http.Error(w, "the core does not answer: "+err.Error()+"; see the status", http.StatusServiceUnavailable)
			return
		case !now.CutOut.Latched:
			fmt.Fprintln(w, "released")
			return
		case now.CutOut.Active:
			http.Error(w, "the cut-out is still latched; see the status", http.StatusConflict)
			return
		}
	}
}

// refuseRelease says why the cut-out cannot be released now.
func refuseRelease(ctx context.Context, m *metrics) (why string, status int) {
	now, err := m.report(ctx)
	switch {
	case err != nil:
		return "the core does not answer: " + err.Error(), http.StatusServiceUnavailable
	case !now.CutOut.Latched:
		return "the cut-out is not latched", http.StatusConflict
	case now.CutOut.Active:
		return "the input " + now.CutOut.Line + " still says stop; clear it first", http.StatusConflict
	}
	return "", 0
}

// ReleaseCutOut asks the gateway whose local API is at socket to release its
// cut-out.
func ReleaseCutOut(ctx context.Context, socket, by string) error {
	body, err := json.Marshal(map[string]string{"by": by})
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*scrapeTimeout)
	defer cancel()
	resp, err := askLocal(ctx, socket, http.MethodPost, "/v1/cutout/release", body)
	if err != nil {
		return err
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not released: %s", saidBy(resp))
	}
	return nil
}

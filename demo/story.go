package demo

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A story tells what happens, a line at a time, from any goroutine.
type story struct {
	began time.Time

	mu sync.Mutex
	w  io.Writer
}

func newStory(w io.Writer) *story { return &story{began: time.Now(), w: w} }

// say tells something about a place ("" for the whole).
func (s *story) say(where, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	//nolint:errcheck // a listener who has gone is no reason to stop
	fmt.Fprintf(s.w, "%6.1fs  %-8s %s\n", time.Since(s.began).Seconds(), where, fmt.Sprintf(format, args...))
}

// chapter tells a heading.
func (s *story) chapter(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "\n%s\n", fmt.Sprintf(format, args...)) //nolint:errcheck // as above
}

package session

import (
	"context"               // want "context"
	"crypto/rand"           // want "take an io.Reader"
	"golang.org/x/sys/unix" // want "let a shell call the system"
	log "log/slog"          // want "log/slog"
	mrand "math/rand/v2"    // want "take a seed"
	"net/http"              // want "a shell sends it"
	"net/url"               // values only
	"os"                    // want "journal.FS"
	"sync/atomic"           // want "one goroutine"
	clock "time"            // durations are values
)

var _ = []any{context.Background, rand.Reader, log.Info, mrand.Int, http.MethodGet, url.Parse, os.Args, atomic.AddInt32, unix.Getpid}

func wait(c chan int) { // want "a channel"
	go func() {}()              // want "a goroutine"
	c <- 1                      // want "a channel"
	<-c                         // want "a channel"
	select {}                   // want "a channel"
	println(clock.Now())        // want "print" "time.Now: take a holdfast.Instant"
	clock.Sleep(clock.Second)   // want "time.Sleep"
	<-clock.After(clock.Second) // want "a channel" "time.After"
	_ = clock.Duration(1)
}

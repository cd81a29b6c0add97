package agent

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	count  int
	table  = map[string]int{"a": 1}
	nested struct{ n []int }
	err    = http.ErrAbortHandler
	mu     sync.Mutex          // want "package-level mu"
	flag   atomic.Pointer[int] // want "package-level flag"
	ready  chan int            // want "package-level ready"
	once   = sync.OnceValue(func() int { return 1 })
)

func change() {
	count++            // want "count is package-level"
	table["b"] = 2     // want "table is package-level"
	delete(table, "a") // want "table is package-level"
	nested.n[0] = 1    // want "nested is package-level"
	other = 2          // want "other is package-level"
	p := &count        // want "count is package-level"
	*p = 1
}

func shadow() int {
	count := 1
	count++
	table := map[string]int{}
	table["a"] = once()
	var s struct{ count int }
	s.count = 2
	return count
}

func globals() {
	slog.Info("hello")        // want "log/slog.Info"
	_ = http.DefaultClient    // want "DefaultClient"
	http.HandleFunc("/", nil) // want "HandleFunc"
	slog.New(nil).Info("hello")
}

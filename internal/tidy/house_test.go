package tidy

import (
	"path"
	"strings"
)

const module = "github.com/holdfast-ev/holdfast"

// A class says what a package must not contain.
type class string

const (
	// pure packages hold no clock, chance, goroutine, channel, lock, context,
	// logger, file or socket: all of these are inputs.
	pure class = "PURE"
	// plane is the cloud's core: pure, but it passes a context on to its Store.
	plane class = "plane"
	// shell packages own what the others must not have.
	shell class = "shell"
)

// A room is one package of the house. It may import rooms of lower floors, and
// what also names; never what never names, nor anything below that.
type room struct {
	path  string // within the module; "." is the vocabulary
	floor int
	class class
	also  []string // on the same floor
	never []string // on a lower floor
	why   string   // of never and also
}

// house is ARCHITECTURE.md's "arrows", package by package, from the ground up.
var house = []room{
	{path: ".", floor: 0, class: pure},
	{path: "record", floor: 1, class: pure},

	{path: "session", floor: 2, class: pure, why: "session rules do not know that OCPP exists"},
	{path: "ocpp", floor: 2, class: pure},
	{path: "tariff", floor: 2, class: pure},
	{path: "statement", floor: 2, class: pure},
	{path: "seal", floor: 2, class: pure},
	{path: "access", floor: 2, class: pure, also: []string{"statement"}, why: "lists and grants are signed statements"},
	{path: "power", floor: 2, class: pure, also: []string{"statement"}, why: "a limit schedule is a signed statement"},
	{path: "receipt", floor: 2, class: pure, also: []string{"statement"}, why: "a receipt is a signed statement"},

	{path: "ocpp/v16", floor: 3, class: pure, why: "the OCPP versions do not know each other"},
	{path: "ocpp/v2", floor: 3, class: pure, why: "the OCPP versions do not know each other"},
	{path: "ledger", floor: 3, class: pure},
	{path: "uplink", floor: 3, class: pure},
	{path: "journal", floor: 3, class: pure, never: []string{"record", "session"}, why: "the journal stores bytes and knows no records"},

	{path: "gateway", floor: 4, class: pure, why: "the edge and the cloud meet on the wire (uplink) and nowhere else"},
	{path: "cloud", floor: 4, class: plane, why: "the edge and the cloud meet on the wire (uplink) and nowhere else"},

	{path: "gateway/loop", floor: 5, class: pure, never: []string{"cloud"}, why: "the loop does no I/O but through journal.FS and its Shell"},
	{path: "cloud/store", floor: 5, class: shell, never: []string{"gateway"}, also: []string{"internal/durable"}, why: "archived slices are durable before the commit that names them"},
	{path: "cloud/store/storetest", floor: 6, class: shell, never: []string{"gateway"}},

	{path: "internal/durable", floor: 5, class: shell},
	{path: "internal/faultfs", floor: 5, class: shell},
	{path: "internal/pgtest", floor: 5, class: shell},
	{path: "internal/faultproxy", floor: 5, class: shell},
	{path: "internal/vector", floor: 5, class: shell},
	{path: "internal/tidy", floor: 5, class: shell},
	{path: "internal/release", floor: 5, class: shell},
	{path: "internal/release/cmd", floor: 6, class: shell},
	{path: "internal/keyfile", floor: 5, class: shell, also: []string{"internal/durable"}},

	{path: "gateway/agent", floor: 6, class: shell, also: []string{"charger"}, never: []string{"cloud"}, why: "the edge and the cloud meet on the wire (uplink) and nowhere else; tests alone meet the simulated charger"},
	{path: "cloud/server", floor: 6, class: shell, never: []string{"gateway"}, why: "the edge and the cloud meet on the wire (uplink) and nowhere else"},
	{path: "charger", floor: 6, class: shell, never: []string{"ocpp/v16", "ocpp/v2", "gateway", "cloud", "session"}, why: "the simulated charger is the foreign side: it must not share the tables and rules under test"},

	{path: "gateway/agent/command", floor: 7, class: shell, never: []string{"cloud"}, why: "the site's binary carries no cloud"},
	{path: "demo", floor: 8, class: shell},

	{path: "internal/crash", floor: 9, class: shell},
	{path: "interop", floor: 9, class: shell},
	{path: "internal/bench", floor: 9, class: shell},
	{path: "internal/bench/cmd", floor: 10, class: shell},

	{path: "cmd/holdfast", floor: 9, class: shell},
	{path: "cmd/holdfast-gateway", floor: 9, class: shell, never: []string{"cloud"}, why: "the site's binary carries no cloud"},
}

// roomOf returns the room of a package path within the module.
func roomOf(dir string) (room, bool) {
	for _, r := range house {
		if r.path == dir {
			return r, true
		}
	}
	return room{}, false
}

// inside returns the path within the module of an import, and whether it is one.
func inside(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// under reports whether dir is p or lies below it.
func under(dir, p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") }

// bannedNames say nothing about what a package holds.
var bannedNames = []string{
	"base", "common", "handler", "handlers", "helper", "helpers", "lib", "manager", "managers", "misc", "model", "models",
	"service", "services", "shared", "type", "types", "util", "utils",
}

// bannedImports of PURE packages, with what to do instead.
var bannedImports = []struct{ path, instead string }{
	{"context", "return at once; a shell waits"},
	{"crypto/rand", "take an io.Reader"},
	{"flag", "take a value"},
	{"golang.org/x/sys", "let a shell call the system"},
	{"io/ioutil", "take the bytes"},
	{"log", "return what there is to say; a shell logs it"},
	{"math/rand", "take a seed"},
	{"net", "return an effect; a shell sends it"},
	{"os", "take the bytes, or an interface such as journal.FS"},
	{"runtime", "let a shell look at the process"},
	{"sync", "let one goroutine own it"},
	{"syscall", "let a shell call the system"},
	{"testing", "move it to a _test.go file"},
	{"unsafe", "write it safely"},
}

// harmless are packages below a banned import that only handle values.
var harmless = []string{"net/netip", "net/url"}

// banOf returns what to do instead of an import, "" when it is allowed.
func banOf(imported string, c class) string {
	for _, h := range harmless {
		if imported == h {
			return ""
		}
	}
	for _, b := range bannedImports {
		if under(imported, b.path) && !(c == plane && imported == "context") {
			return b.instead
		}
	}
	return ""
}

// bannedCalls of PURE packages: functions of otherwise harmless packages.
var bannedCalls = map[string]map[string]string{
	"time": {
		"After": "a tick is an input", "AfterFunc": "a tick is an input", "NewTicker": "a tick is an input",
		"NewTimer": "a tick is an input", "Now": "take a holdfast.Instant", "Since": "subtract instants",
		"Sleep": "return; the next tick comes back", "Tick": "a tick is an input", "Until": "subtract instants",
	},
	"fmt": {
		"Print": "return the text", "Printf": "return the text", "Println": "return the text",
	},
}

// globals are the process-wide values of other packages: whoever reads or sets
// one is coupled to everybody else who does.
var globals = map[string]map[string]string{
	"log/slog": {
		"Debug": "take a *slog.Logger", "Default": "take a *slog.Logger", "Error": "take a *slog.Logger", "Info": "take a *slog.Logger",
		"SetDefault": "take a *slog.Logger", "Warn": "take a *slog.Logger",
	},
	"net/http": {
		"DefaultClient": "make a client with deadlines", "DefaultServeMux": "make a mux",
		"Get": "make a client with deadlines", "Handle": "make a mux", "HandleFunc": "make a mux", "Post": "make a client with deadlines",
	},
	"github.com/prometheus/client_golang/prometheus": {
		"DefaultGatherer": "make a registry", "DefaultRegisterer": "make a registry", "MustRegister": "make a registry", "Register": "make a registry",
	},
}

// syncHome is the only package that may sync a file or rename one.
const syncHome = "internal/durable"

func isMain(dir string) bool { return path.Dir(dir) == "cmd" || path.Base(dir) == "cmd" }

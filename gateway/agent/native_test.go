package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// TestTokenBookOnTheDisk: the file holds no token in clear, comes back as it
// was, and is replaced as a whole; a file that does not open is an error that
// names no token.
func TestTokenBookOnTheDisk(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), bookFile)
	k := &bookKeeper{log: slog.New(slog.NewJSONHandler(&log, nil)), path: path, key: [32]byte{7}}
	if form, err := k.read(); err != nil || form.Version != 0 {
		t.Fatalf("without a file: %v, %v", form, err)
	}
	k.keep(gateway.KeepBook{Version: 1, Tokens: []uplink.BookToken{{Value: "04DEADBEEF"}}})
	k.keep(gateway.KeepBook{Version: 2, Tokens: []uplink.BookToken{{Value: "04CAFE", Type: "ISO14443"}}})
	k.write()
	raw, err := os.ReadFile(path)
	if err != nil || bytes.Contains(raw, []byte("04CAFE")) || bytes.Contains(raw, []byte("ISO14443")) {
		t.Fatalf("%v: the file is readable", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	form, err := k.read()
	if err != nil || form.Version != 2 || len(form.Tokens) != 1 || form.Tokens[0].Value != "04CAFE" || form.Tokens[0].Type != "ISO14443" {
		t.Fatalf("read back %d, %v", form.Version, err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.read(); err == nil {
		t.Error("a changed file was believed")
	}

	// A file that cannot be replaced goes: it may hold an erased driver.
	k.keep(gateway.KeepBook{Version: 3, Tokens: []uplink.BookToken{{Value: "04CAFE" + strings.Repeat("0", seal.MaxBox)}}})
	k.write()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that cannot be replaced is still there: %v", err)
	}
	if text := log.String(); !strings.Contains(text, "token book cannot be written") || strings.Contains(text, "04CAFE") {
		t.Errorf("the log says %s", text)
	}
}

// TestNativeDocs: the tables of docs/native.md are those of the code.
func TestNativeDocs(t *testing.T) {
	var out strings.Builder
	for _, v := range []ocpp.Version{ocpp.V16, ocpp.V201} {
		fmt.Fprintf(&out, "\n| %s | wanted | decides *ready* |\n|---|---|---|\n", map[ocpp.Version]string{ocpp.V16: "OCPP 1.6 key", ocpp.V201: "OCPP 2.0.1 and 2.1 variable"}[v])
		for _, n := range gateway.NativeVariables(v) {
			want, decides := "`"+n.Want+"`", ""
			if n.Want == "" {
				want = "looked at"
			}
			if n.Required {
				decides = "yes"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", n.Key, want, decides)
		}
	}
	out.WriteString("\n")
	generated(t, "native.md", "native", out.String())
}

package agent

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const someHash = "hf1:000102030405060708090a0b0c0d0e0f:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"

func TestConfigMinimal(t *testing.T) {
	c, err := ParseConfig("g.yaml", []byte("dir: /data\nchargers:\n  - id: 00042\n    password_hash: "+someHash+"\n    max_power_w: 22_000\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Chargers[0].ID != "00042" || c.Chargers[0].MaxPowerW != 22000 {
		t.Errorf("charger = %+v", c.Chargers[0])
	}
	if c.OCPP.Listen != DefaultOCPPListen || c.HeartbeatSeconds != 300 || c.Local.Socket != "/data/gateway.sock" {
		t.Errorf("defaults not filled in: %+v", c)
	}
}

// Each wrong file is refused with the place and the allowed values.
func TestConfigProblems(t *testing.T) {
	charger := "\n    password_hash: " + someHash + "\n    max_power_w: 11000\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "g.yaml: dir: missing"},
		{"scalar", "hello", `g.yaml:1:1: "hello", want keys: dir, log, lab`},
		{"syntax", "dir: [", "g.yaml:1:6: not YAML"},
		{"unknown key", "dir: /d\nchargerz: 1\n", `g.yaml:2:1: unknown key "chargerz", want one of: dir, log, lab`},
		{"unknown nested key", "dir: /d\nocpp:\n  listne: a\n", `g.yaml:3:3: ocpp: unknown key "listne", want one of: listen, tls_listen, tls_certificate`},
		{"twice", "dir: /d\ndir: /e\n", "g.yaml:2:1: "},
		{"null", "dir:\n", "g.yaml:1:"},
		{"word", "dir: /d\nlog: loud\n", `g.yaml:2:1: log: "loud", want one of: debug, info, warn, error`},
		{"bool", "dir: /d\nlab: yess\n", `lab: "yess", want true or false`},
		{"number", "dir: /d\nheartbeat_seconds: soon\n", `g.yaml:2:20: heartbeat_seconds: "soon", want a whole number`},
		{"fraction", "dir: /d\nheartbeat_seconds: 1.5\n", "1.5, want a whole number"},
		{"range", "dir: /d\nheartbeat_seconds: 3\n", "g.yaml:2:1: heartbeat_seconds: 3, want 10 to 86400 s"},
		{"huge", "dir: /d\nheartbeat_seconds: 99999999999999999999\n", "want a whole number"},
		{"endpoint", "dir: /d\ncloud:\n  endpoint: http://x\n", `g.yaml:3:3: cloud.endpoint: "http://x", want an https URL`},
		{"public metrics", "dir: /d\nlocal:\n  listen: 0.0.0.0:9180\n", "is not a loopback address"},
		{"address", "dir: /d\nocpp:\n  listen: nowhere\n", `"nowhere", want host:port`},
		{"two passphrases", "dir: /d\nkeys:\n  passphrase_file: a\n  credential: b\n", "g.yaml:4:3: keys.credential: set together"},
		{"tls without a certificate", "dir: /d\nocpp:\n  tls_listen: 0.0.0.0:1\n", "needs tls_certificate and tls_key"},
		{"half tls", "dir: /d\nocpp:\n  tls_key: k\n", "set both or none"},
		{"no password", "dir: /d\nchargers:\n  - id: A\n    max_power_w: 1\n", "chargers[0].password_hash: missing; make one with"},
		{"clear password", "dir: /d\nchargers:\n  - id: A\n    password_hash: secretsecretsecret\n    max_power_w: 1\n", "g.yaml:4:5: chargers[0].password_hash: not a password hash"},
		{"power", "dir: /d\nchargers:\n  - id: A\n    password_hash: " + someHash + "\n    max_power_w: -5\n", "g.yaml:5:5: chargers[0].max_power_w: -5, want 1 to 10000000 W"},
		{"bad id", "dir: /d\nchargers:\n  - id: 'A B'" + charger, "g.yaml:3:5: chargers[0].id:"},
		{"same id", "dir: /d\nchargers:\n  - id: A" + charger + "  - id: A" + charger, `g.yaml:6:5: chargers[1].id: "A" is chargers[0] already`},
		{"not a list", "dir: /d\nchargers: 5\n", "chargers: 5, want a list"},
		{"alias", "dir: &a /d\nlog: *a\n", "anchors, aliases and tags are not supported"},
		{"two documents", "dir: /d\n---\ndir: /e\n", "a second document"},
		{"deep", strings.Repeat("[", 100), "nested deeper than 64"},
		{"long socket", "dir: /" + strings.Repeat("d", 120) + "\n", "at most 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfig("g.yaml", []byte(tt.text))
			bad := (*ConfigError)(nil)
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want a ConfigError", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestConfigReportsEveryProblemInOrder(t *testing.T) {
	_, err := ParseConfig("g.yaml", []byte("heartbeat_seconds: 1\nlog: loud\ndir: /d\nocpp: {ping_seconds: 1}\n"))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d problems, want 3:\n%v", len(lines), err)
	}
	for i, want := range []string{"g.yaml:1:", "g.yaml:2:", "g.yaml:4:"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("problem %d is %q, want it at %s", i, lines[i], want)
		}
	}
}

// A configuration is read or refused with problems; nothing crashes, and what
// was accepted holds when it is checked again.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("dir: /d\n"))
	f.Add([]byte("dir: /d\nchargers:\n  - id: A\n    password_hash: " + someHash + "\n    max_power_w: 1\n"))
	f.Add([]byte("dir: {a: [b, *c]}\nlog: !!int 5\n"))
	f.Add([]byte("? [a]\n: b\n<<: *x\n"))
	f.Add([]byte("dir: |\n  text\n more"))
	f.Add(exampleConfig)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig("fuzz.yaml", text)
		if err != nil {
			bad := (*ConfigError)(nil)
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, then refused: %v", err)
		}
	})
}

// Every key that the example shows is a key, and every default it shows is the
// default: with all comments that hold a key taken as text, it still reads.
func TestExampleConfigNamesEveryKey(t *testing.T) {
	if _, err := ParseConfig("example.yaml", exampleConfig); err != nil {
		t.Fatalf("as shipped: %v", err)
	}
	full := regexp.MustCompile(`(?m)^( *)#((?:- )?[a-z_]+:)`).ReplaceAllString(string(exampleConfig), "$1$2")
	full = strings.Replace(full, "  credential: holdfast\n", "", 1) // one of the two ways
	c, err := ParseConfig("example.yaml", []byte(full))
	if err != nil {
		t.Fatalf("with every key: %v\n%s", err, full)
	}
	if len(c.Chargers) != 1 {
		t.Errorf("%d chargers, want the one that the example shows", len(c.Chargers))
	}
	for _, key := range allKeys(reflect.TypeFor[Config]()) {
		if !strings.Contains(string(exampleConfig), key+":") {
			t.Errorf("the example does not show %s", key)
		}
	}
	plain := &Config{Dir: "/var/lib/holdfast"}
	plain.complete()
	if c.Log != plain.Log || c.HeartbeatSeconds != plain.HeartbeatSeconds || c.Storage != plain.Storage || c.Local.Socket != plain.Local.Socket ||
		c.OCPP.PingSeconds != plain.OCPP.PingSeconds || c.OCPP.FramesPerSecond != plain.OCPP.FramesPerSecond {
		t.Errorf("the example shows other values than the defaults:\n%+v\n%+v", c, plain)
	}
}

func allKeys(typ reflect.Type) (keys []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		keys = append(keys, f.Tag.Get("yaml"))
		switch sub := f.Type; {
		case sub.Kind() == reflect.Struct:
			keys = append(keys, allKeys(sub)...)
		case sub.Kind() == reflect.Slice && sub.Elem().Kind() == reflect.Struct:
			keys = append(keys, allKeys(sub.Elem())...)
		}
	}
	return keys
}

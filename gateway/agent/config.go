package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of a configuration. One outside them is refused when it is read.
const (
	MaxConfigBytes  = 256 << 10  // bytes of the file
	MaxPowerW       = 10_000_000 // W of one connector
	MaxSocketLength = 100        // bytes of a unix socket's path (the kernel allows 107)
	MaxPreference   = 100        // of a link or an endpoint
	MaxBudgetMiB    = 1 << 20    // of a link and month
)

// A Config is what a person decides about a gateway. Who the gateway is comes
// from enrolment and lies in Dir. The zero value of every key is its default.
type Config struct {
	// Dir is the data directory: journals, snapshots, keys. It must be on a disk
	// that survives a power cut. No default.
	Dir string `yaml:"dir"`
	// Log is the least severe level that is logged: debug, info, warn or error.
	// Default info.
	Log string `yaml:"log"`
	// Lab permits chargers without a password (OCPP security profile 0). Only
	// for a bench: anybody on the network can then be any charger. Default false.
	Lab bool `yaml:"lab"`
	// HeartbeatSeconds is the interval that chargers are told in the answer to a
	// BootNotification, 10 to 86400 s. Default 300.
	HeartbeatSeconds int64 `yaml:"heartbeat_seconds"`
	// Cloud is the way to the control plane.
	Cloud CloudConfig `yaml:"cloud"`
	// Links lists the local links to the network, at most 8. Default: one, named
	// "default", which is whatever way the machine has.
	Links []LinkConfig `yaml:"links"`
	// Keys says how the key file in Dir is opened.
	Keys KeysConfig `yaml:"keys"`
	// OCPP is the WebSocket server that chargers connect to.
	OCPP OCPPConfig `yaml:"ocpp"`
	// Local is the API on this machine: status, metrics, health.
	Local LocalConfig `yaml:"local"`
	// Storage bounds what the journals may take.
	Storage StorageConfig `yaml:"storage"`
	// Time says where a hint of the time may come from.
	Time TimeConfig `yaml:"time"`
	// Native says how chargers are prepared for a time without the gateway:
	// docs/native.md.
	Native NativeConfig `yaml:"native"`
	// Power is the site's power limit and its safety cut-out; see docs/power.md.
	Power PowerConfig `yaml:"power"`
	// Chargers lists every charger that may connect, at most 500.
	Chargers []ChargerConfig `yaml:"chargers"`
}

// A CloudConfig is the way to the control plane.
type CloudConfig struct {
	// Endpoint is the https URL of the cloud's gateway endpoint. Default: those
	// learnt at enrolment.
	Endpoint string `yaml:"endpoint"`
	// Endpoints lists further ways into the same cloud, at most 8 with endpoint.
	// Every one must show a certificate of the authority that was pinned at
	// enrolment; one that does not is never trusted.
	Endpoints []EndpointConfig `yaml:"endpoints"`
}

// An EndpointConfig is a way into the cloud.
type EndpointConfig struct {
	// URL is an https URL like that of cloud.endpoint.
	URL string `yaml:"url"`
	// Preference orders endpoints, 1 to 100; lower is better, and equal ones are
	// not changed while they work. cloud.endpoint has 1. Default 1.
	Preference int64 `yaml:"preference"`
}

// A LinkConfig is a local link to the network, with what it may cost.
type LinkConfig struct {
	// Name is what the link is called in the status, in metrics and in records: 1
	// to 32 letters, digits, dots, dashes or underscores.
	Name string `yaml:"name"`
	// Interface is the network interface that the link's sockets are bound to, for
	// example wwan0. Default: any.
	Interface string `yaml:"interface"`
	// Source is the local IP address that the link's sockets are bound to. Default:
	// the kernel chooses.
	Source string `yaml:"source"`
	// Preference orders links, 1 to 100; lower is better. Default 1.
	Preference int64 `yaml:"preference"`
	// CostMicrosPerMiB is the price of a MiB in millionths of a currency unit, 0 to
	// 1000000000. Of links with one preference the cheaper is better. Default 0.
	CostMicrosPerMiB int64 `yaml:"cost_micros_per_mib"`
	// Carry is what goes over the link: all, evidence (no telemetry) or live (no
	// uploads at all: hello, directives and online authorisations only). Default
	// all.
	Carry string `yaml:"carry"`
	// BudgetMiB is what the link may carry in a month, both ways, 1 to 1048576 MiB.
	// As it runs low telemetry stops, then evidence goes in larger batches, then
	// seldom; see docs/links.md. Default: no bound.
	BudgetMiB int64 `yaml:"budget_mib"`
	// BudgetDay is the day of the month, 1 to 28, on which the budget begins anew
	// at 00:00 in zone. Default 1.
	BudgetDay int64 `yaml:"budget_day"`
	// WhenSpent is what happens when the budget is spent: close (the link is not
	// used until it begins anew) or emergency (while no other link works it goes on
	// for live traffic, and evidence every 6 h). Default close.
	WhenSpent string `yaml:"when_spent"`
	// Windows lists the times of day, HH:MM-HH:MM, at which telemetry is uploaded
	// over the link, and evidence too if hold_evidence_minutes is set; at most 16.
	// One may go past midnight. Default: any time.
	Windows []string `yaml:"windows"`
	// Zone is the time zone of windows and budget_day: a name like Europe/Berlin,
	// or an offset like +01:00. Default UTC.
	Zone string `yaml:"zone"`
	// HoldEvidenceMinutes is how long evidence waits for a window at most, 1 to
	// 1440 min. Default: it does not wait.
	HoldEvidenceMinutes int64 `yaml:"hold_evidence_minutes"`
}

// A KeysConfig says how the key file in Dir is opened. At most one of its keys
// may be set.
type KeysConfig struct {
	// PassphraseFile holds the passphrase of the key file; mode 0600 or stricter.
	// Keep it off the disk that holds Dir where you can. Default
	// DIR/keys/passphrase.
	PassphraseFile string `yaml:"passphrase_file"`
	// Credential is the name of a systemd credential (LoadCredential=) that holds
	// the passphrase.
	Credential string `yaml:"credential"`
}

// An OCPPConfig is the WebSocket server that chargers connect to, at
// ws://LISTEN/ocpp/IDENTITY.
type OCPPConfig struct {
	// Listen is the address of the server, host:port. Default 127.0.0.1:8180,
	// which chargers on the network cannot reach: set the address of the
	// charger network.
	Listen string `yaml:"listen"`
	// TLSListen is the address of a second server, host:port, that speaks wss://
	// while listen stays without TLS: for the time in which chargers move over. A
	// charger that has come over TLS once is refused without. Default: none.
	TLSListen string `yaml:"tls_listen"`
	// TLSCertificate is a PEM file with the server's certificate chain; with it
	// and TLSKey the server speaks wss:// only (OCPP security profile 2), unless
	// tls_listen is set. A change of the files is taken up by the next handshake.
	TLSCertificate string `yaml:"tls_certificate"`
	// TLSKey is the PEM file with the key of TLSCertificate.
	TLSKey string `yaml:"tls_key"`
	// TLSRSASuites offers the TLS 1.2 suites without forward secrecy that OCPP
	// 2.0.1 lists for old chargers (TLS_RSA_WITH_AES_128_GCM_SHA256 and
	// _256_GCM_SHA384). Default false.
	TLSRSASuites bool `yaml:"tls_rsa_suites"`
	// PingSeconds is how long a charger may be silent before it is pinged, 5 to
	// 3600 s. A charger that does not answer a ping within 10 s is disconnected.
	// Default 30.
	PingSeconds int64 `yaml:"ping_seconds"`
	// FramesPerSecond is the rate above which a connection is read more slowly,
	// 10 to 100000 frames/s. Nothing is dropped: the charger waits. Default 500.
	FramesPerSecond int64 `yaml:"frames_per_second"`
	// Lenient tolerates a message that violates the official schema but can still
	// be understood: it is acted on, and the violation is journaled. Default
	// false: such a message is answered with an error, as the standard says.
	Lenient bool `yaml:"lenient"`
	// AllowWeakerSecurity lets a charger that has connected over TLS come back
	// without, and lets charger.call send it a lower security profile. Default
	// false: both are refused.
	AllowWeakerSecurity bool `yaml:"allow_weaker_security"`
}

// A LocalConfig is the API on this machine.
type LocalConfig struct {
	// Socket is the path of the unix socket, at most 100 bytes. Default
	// DIR/gateway.sock.
	Socket string `yaml:"socket"`
	// Listen is a loopback address, host:port, where the same API is served as
	// well, for a metrics scraper. Default: none.
	Listen string `yaml:"listen"`
}

// A StorageConfig bounds what the journals may take.
type StorageConfig struct {
	// EvidenceMiB is the budget of the evidence journal, 16 to 65536 MiB. When it
	// is spent new sessions are refused and running ones end well. Default 256.
	EvidenceMiB int64 `yaml:"evidence_mib"`
	// TelemetryMiB is the budget of the telemetry journal, 4 to 65536 MiB; when it
	// is spent the oldest telemetry goes. Default 64.
	TelemetryMiB int64 `yaml:"telemetry_mib"`
	// KeepFreeMiB is what the evidence journal leaves free on the disk, 1 to 65536
	// MiB. Default 32.
	KeepFreeMiB int64 `yaml:"keep_free_mib"`
	// SegmentKiB is the size at which a segment of a journal is sealed, 4 to 65536
	// KiB. Damage in a sealed segment sets the whole segment aside until the
	// cloud's copy takes its place, so smaller ones lose less; larger ones are
	// fewer files. Default 1024.
	SegmentKiB int64 `yaml:"segment_kib"`
}

// A TimeConfig says where a hint of the time may come from. The time that rights
// are judged by comes from the cloud, signed, and from nowhere else.
type TimeConfig struct {
	// NTP lists NTP servers, host or host:port (UDP, port 123 when not said), at
	// most 8. More than half of them must agree within half a second. They set a
	// clock that the cloud has not set since the start; they never override a
	// signed time younger than a day. Default: none.
	NTP []string `yaml:"ntp"`
}

// A NativeConfig says how chargers are prepared for a time without the gateway.
type NativeConfig struct {
	// Mode is keep (a charger's own settings are read and set, and its local list
	// follows the site's access list), watch (they are read and shown) or off.
	// Default keep.
	Mode string `yaml:"mode"`
	// UnknownOffline lets a charger that is alone accept drivers whom it does not
	// know. Default false.
	UnknownOffline bool `yaml:"unknown_offline"`
	// Cache lets chargers remember verdicts in their authorisation caches, which
	// then also holds drivers whom only the cloud may accept. Default false: the
	// local list alone says who may charge.
	Cache bool `yaml:"cache"`
	// MessageAttempts is how often a charger must try at least before it throws a
	// transaction message away, 1 to 1000. Default 30.
	MessageAttempts int64 `yaml:"message_attempts"`
	// RetrySeconds is the most that a charger may wait between two tries, 1 to
	// 3600 s. Default 60.
	RetrySeconds int64 `yaml:"retry_seconds"`
	// ListMax is how many entries a charger's list may have, 1 to 10000. Default:
	// what the charger says, else 1000.
	ListMax int64 `yaml:"list_max"`
}

// A ChargerNativeConfig is what one charger needs otherwise than the site.
type ChargerNativeConfig struct {
	// Mode is as native.mode. Default: the site's.
	Mode string `yaml:"mode"`
	// MessageAttempts is as native.message_attempts. Default: the site's.
	MessageAttempts int64 `yaml:"message_attempts"`
	// RetrySeconds is as native.retry_seconds. Default: the site's.
	RetrySeconds int64 `yaml:"retry_seconds"`
	// ListMax is as native.list_max. Default: the site's.
	ListMax int64 `yaml:"list_max"`
}

// A PowerConfig is what the installation was commissioned for. Either max_w or
// fuse_a switches sharing on.
type PowerConfig struct {
	// MaxW is the commissioned maximum of the site, 1 to 100000000 W. No limit
	// is ever above it. Default: none, and then nothing is shared.
	MaxW int64 `yaml:"max_w"`
	// FuseA is the commissioned maximum in A on each phase, 1 to 100000, instead
	// of max_w: every session then counts fully on every phase.
	FuseA int64 `yaml:"fuse_a"`
	// Phases of the supply, 1 or 3. Default 3.
	Phases int64 `yaml:"phases"`
	// VoltageV is between phase and neutral, 100 to 500 V. Default 230.
	VoltageV int64 `yaml:"voltage_v"`
	// LimitW is a lower limit that always holds, in W on the whole site. Default:
	// the commissioned maximum.
	LimitW int64 `yaml:"limit_w"`
	// FallbackW holds when the cloud's limit schedule is over or cannot be dated.
	// Default: limit_w.
	FallbackW int64 `yaml:"fallback_w"`
	// EVSEFailSafeW is what an EVSE may draw when the gateway is gone, 0 to
	// 10000000 W. All of them count against every limit always, used or not.
	// Default 0: without a gateway nothing charges.
	EVSEFailSafeW int64 `yaml:"evse_failsafe_w"`
	// CutOut is the safety cut-out.
	CutOut CutOutConfig `yaml:"cutout"`
}

// A CutOutConfig is an input that stops all energy on the site, and latches.
type CutOutConfig struct {
	// File is the input: a file, or a GPIO line's value file, whose content is 0
	// or 1. It is read every 50 ms; when it cannot be read, it counts as tripped.
	// Default: none.
	File string `yaml:"file"`
	// Active is the content that means stop, "0" or "1". Default "1"; "0" suits a
	// circuit that a break opens.
	Active string `yaml:"active"`
	// DeadlineMs is how long energy may still flow, 500 to 600000 ms. After it the
	// EVSEs are switched off by availability, contactor is set, and an exception
	// is raised. Default 5000.
	DeadlineMs int64 `yaml:"deadline_ms"`
	// FloorW is the power below which a session counts as stopped, 0 to 10000 W.
	// Default 0.
	FloorW int64 `yaml:"floor_w"`
	// Contactor is a file that 1 is written to when sessions did not stop in time,
	// and 0 when the cut-out is released. Default: none.
	Contactor string `yaml:"contactor"`
}

// A ChargerConfig is one charger that may connect.
type ChargerConfig struct {
	// ID is the identity in the charger's URL: 1 to 48 printable characters
	// without colon, slash or percent sign.
	ID string `yaml:"id"`
	// PasswordHash is what `holdfast-gateway hash-password` printed for the
	// charger's AuthorizationKey (1.6) or BasicAuthPassword (2.0.1). It may be
	// left out only if lab is true.
	PasswordHash string `yaml:"password_hash"`
	// MaxPowerW is what one connector can deliver, 1 to 10000000 W. Limits on
	// energy and money are kept by assuming that much. Default: unknown, and then
	// 350000 is assumed, which makes offline limits bite early.
	MaxPowerW int64 `yaml:"max_power_w"`
	// EVSEs is how many it has, 1 to 64. Each counts with its fail-safe. Default 1.
	EVSEs int64 `yaml:"evses"`
	// Current is ac or dc. Default ac.
	Current string `yaml:"current"`
	// Phases of an AC charger, 1 or 3. Default 3.
	Phases int64 `yaml:"phases"`
	// ProfileUnit is the unit of its charging profiles, A or W. Default: A for AC
	// at a site with a limit, else W.
	ProfileUnit string `yaml:"profile_unit"`
	// FailSafeW is this charger's own power.evse_failsafe_w, 1 to 10000000 W.
	// Default: the site's.
	FailSafeW int64 `yaml:"failsafe_w"`
	// Native is what this charger needs otherwise than the site does.
	Native ChargerNativeConfig `yaml:"native"`
}

// Defaults of a [Config], as its fields document them.
const (
	DefaultHeartbeatSeconds = 300
	DefaultOCPPListen       = "127.0.0.1:8180"
	DefaultPingSeconds      = 30
	DefaultFramesPerSecond  = 500
	DefaultEvidenceMiB      = 256
	DefaultTelemetryMiB     = 64
	DefaultKeepFreeMiB      = 32
	DefaultSegmentKiB       = journal.DefaultSegmentBytes >> 10
)

// A Problem is one thing wrong with a configuration file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0 when the problem has no place
	Col     int    `json:"col"`  // from 1, in characters
	Path    string `json:"path"` // e.g. "chargers[2].max_power_w"; "" for the file as a whole
	Message string `json:"message"`
}

// String is "file:line:col: path: message", which editors can jump to.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", p.Line, p.Col)
		}
		b.WriteByte(' ')
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// A ConfigError lists everything wrong with a configuration, in the order of
// the file.
type ConfigError struct{ Problems []Problem }

func (e *ConfigError) Error() string {
	line := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		line[i] = p.String()
	}
	return strings.Join(line, "\n")
}

// LoadConfig reads, checks and completes the configuration in file. A wrong one
// gives a [*ConfigError].
func LoadConfig(file string) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return ParseConfig(file, text)
}

// ParseConfig is [LoadConfig] of text; file is used in messages only.
func ParseConfig(file string, text []byte) (*Config, error) {
	c := new(Config)
	at, problems := readYAML(file, text, c)
	if len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	if err := c.Validate(); err != nil {
		bad := (*ConfigError)(nil)
		if errors.As(err, &bad) {
			at.place(bad.Problems)
		}
		return nil, err
	}
	c.complete()
	return c, nil
}

// complete puts the defaults where nothing was said.
func (c *Config) complete() {
	str := func(p *string, d string) {
		if *p == "" {
			*p = d
		}
	}
	num := func(p *int64, d int64) {
		if *p == 0 {
			*p = d
		}
	}
	str(&c.Log, "info")
	num(&c.HeartbeatSeconds, DefaultHeartbeatSeconds)
	str(&c.OCPP.Listen, DefaultOCPPListen)
	num(&c.OCPP.PingSeconds, DefaultPingSeconds)
	num(&c.OCPP.FramesPerSecond, DefaultFramesPerSecond)
	str(&c.Local.Socket, filepath.Join(c.Dir, "gateway.sock"))
	num(&c.Storage.EvidenceMiB, DefaultEvidenceMiB)
	num(&c.Storage.TelemetryMiB, DefaultTelemetryMiB)
	num(&c.Storage.KeepFreeMiB, DefaultKeepFreeMiB)
	num(&c.Storage.SegmentKiB, DefaultSegmentKiB)
}

// A checker collects problems with values.
type checker struct{ problems []Problem }

func (k *checker) wrong(path, format string, a ...any) {
	k.problems = append(k.problems, Problem{Path: path, Message: fmt.Sprintf(format, a...)})
}

// span checks a number that may be left out.
func (k *checker) span(path string, v, least, most int64, unit string) {
	if v != 0 && (v < least || v > most) {
		k.wrong(path, "%d, want %d to %d %s", v, least, most, unit)
	}
}

// oneOf checks a word that may be left out.
func (k *checker) oneOf(path, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a || v == "" {
			return
		}
	}
	k.wrong(path, "%q, want one of: %s", v, strings.Join(allowed, ", "))
}

// address checks a host:port that may be left out.
func (k *checker) address(path, v string, loopback bool) {
	if v == "" {
		return
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil || port == "" {
		k.wrong(path, "%q, want host:port, for example 127.0.0.1:9180", v)
		return
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n < 0 {
		k.wrong(path, "port %q, want 0 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); loopback && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		k.wrong(path, "%q is not a loopback address; this API asks for no password, so it stays on this machine: use 127.0.0.1:PORT or [::1]:PORT", v)
	}
}

// Validate checks values, and gives a [*ConfigError] with every problem.
func (c *Config) Validate() error {
	k := new(checker)
	if c.Dir == "" {
		k.wrong("dir", "missing; name the data directory, for example /var/lib/holdfast")
	}
	k.oneOf("log", c.Log, "debug", "info", "warn", "error")
	k.span("heartbeat_seconds", c.HeartbeatSeconds, 10, 86_400, "s")
	c.Cloud.check(k)
	c.Time.check(k)
	c.checkLinks(k)
	if c.Keys.PassphraseFile != "" && c.Keys.Credential != "" {
		k.wrong("keys.credential", "set together with keys.passphrase_file; use one")
	}
	if strings.ContainsAny(c.Keys.Credential, "/\x00") || c.Keys.Credential == ".." {
		k.wrong("keys.credential", "%q is not the name of a credential", c.Keys.Credential)
	}
	c.OCPP.check(k)
	c.Local.check(k, c.Dir)
	k.span("storage.evidence_mib", c.Storage.EvidenceMiB, 16, 65_536, "MiB")
	k.span("storage.telemetry_mib", c.Storage.TelemetryMiB, 4, 65_536, "MiB")
	k.span("storage.keep_free_mib", c.Storage.KeepFreeMiB, 1, 65_536, "MiB")
	k.span("storage.segment_kib", c.Storage.SegmentKiB, 4, journal.MaxSegmentBytes>>10, "KiB")
	c.Native.check(k)
	c.checkChargers(k)
	c.checkPower(k)
	if len(k.problems) > 0 {
		return &ConfigError{k.problems}
	}
	return nil
}

func (c *CloudConfig) check(k *checker) {
	first := map[string]string{}
	one := func(path, s string) {
		u, err := parseEndpoint(s)
		if err != nil {
			k.wrong(path, "%v", err)
			return
		}
		if was, twice := first[u.String()]; twice {
			k.wrong(path, "%q is %s already", s, was)
		}
		first[u.String()] = path
	}
	if c.Endpoint != "" {
		one("cloud.endpoint", c.Endpoint)
	}
	for i, e := range c.Endpoints {
		path := fmt.Sprintf("cloud.endpoints[%d]", i)
		one(path+".url", e.URL)
		k.span(path+".preference", e.Preference, 1, MaxPreference, "(lower is better)")
	}
	if len(first) > uplink.MaxEndpoints {
		k.wrong("cloud.endpoints", "%d endpoints, at most %d", len(first), uplink.MaxEndpoints)
	}
}

// parseEndpoint accepts an https URL without query, user or fragment.
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q, want an https URL, for example https://cloud.example:8443", s)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

func (c *OCPPConfig) check(k *checker) {
	k.address("ocpp.listen", c.Listen, false)
	if (c.TLSCertificate == "") != (c.TLSKey == "") {
		k.wrong("ocpp.tls_certificate", "tls_certificate and tls_key go together; set both or none")
	}
	if c.TLSListen != "" {
		k.address("ocpp.tls_listen", c.TLSListen, false)
		if c.TLSCertificate == "" {
			k.wrong("ocpp.tls_listen", "needs tls_certificate and tls_key")
		}
	}
	k.span("ocpp.ping_seconds", c.PingSeconds, 5, 3600, "s")
	k.span("ocpp.frames_per_second", c.FramesPerSecond, 10, 100_000, "frames/s")
}

func (c *LocalConfig) check(k *checker, dir string) {
	socket := c.Socket
	if socket == "" {
		socket = filepath.Join(dir, "gateway.sock")
	}
	if len(socket) > MaxSocketLength {
		k.wrong("local.socket", "path %q has %d bytes, at most %d; name a shorter one, for example /run/holdfast/gateway.sock", socket, len(socket), MaxSocketLength)
	}
	k.address("local.listen", c.Listen, true)
}

func (c *Config) checkChargers(k *checker) {
	if len(c.Chargers) > gateway.MaxChargers {
		k.wrong("chargers", "%d entries, at most %d", len(c.Chargers), gateway.MaxChargers)
		return
	}
	first := make(map[string]int, len(c.Chargers))
	for i, ch := range c.Chargers {
		path := fmt.Sprintf("chargers[%d]", i)
		if _, err := holdfast.ParseChargerID(ch.ID); ch.ID == "" {
			k.wrong(path+".id", "missing; it is the last part of the URL that the charger connects to")
		} else if err != nil {
			k.wrong(path+".id", "%q, want 1 to %d printable characters without space, ':', '/' or '%%'", ch.ID, holdfast.MaxChargerIDLen)
		}
		if j, twice := first[ch.ID]; twice && ch.ID != "" {
			k.wrong(path+".id", "%q is chargers[%d] already", ch.ID, j)
		}
		first[ch.ID] = i
		if _, err := ParsePasswordHash(ch.PasswordHash); ch.PasswordHash == "" && !c.Lab {
			k.wrong(path+".password_hash", "missing; make one with: holdfast-gateway hash-password")
		} else if ch.PasswordHash != "" && err != nil {
			k.wrong(path+".password_hash", "%v", err)
		}
		k.span(path+".max_power_w", ch.MaxPowerW, 1, MaxPowerW, "W")
		ch.Native.check(k, path+".native")
	}
}

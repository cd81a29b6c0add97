package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/loop"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/ocpp/v16"
	"github.com/holdfast-ev/holdfast/ocpp/v2"
	"github.com/holdfast-ev/holdfast/record"
)

// saveCursorsEvery is how often the cloud's cursors are written down.
const saveCursorsEvery = 5 * time.Second

// An agent is a running gateway daemon.
type agent struct {
	cfg      *Config
	software string
	log      *slog.Logger
	keys     *Identity
	clock    *Clock
	engine   *engine
	chargers *chargerServer
	link     *cloudLink
	ways     []*way // local links
	signer   *signer
	cutout   *cutOut
	book     *bookKeeper
	cursors  *cursors
	metrics  *linkMetrics
	inspect  *inspector
	ntp      *ntpClient

	listening []string // addresses, for the report
	restart   *gateway.Restart
	evidence  atomic.Int64   // bytes of the evidence journal, for the disk watch
	disks     []*durable.Dir // of every core so far; the core's goroutine's
}

// Run is the gateway daemon: it serves until ctx ends, and then ends in order.
// It may be killed at any moment instead; ending in order only saves the next
// boot from being called a power cut. An error means that it could not start, or
// that the disk failed more often than [MaxRecoveries].
func Run(ctx context.Context, cfg *Config, software string, log *slog.Logger) error {
	home, err := durable.OpenDir(cfg.Dir)
	if err != nil {
		return fmt.Errorf("data directory: %w; make it with: holdfast-gateway enroll", err)
	}
	lock, err := home.Lock()
	if err != nil {
		return fmt.Errorf("data directory %s: %w; another gateway is running on it", cfg.Dir, err)
	}
	defer lock.Close()
	keys, err := OpenIdentity(cfg)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // of deriving the key: more than all the rest will ever take
	a, err := newAgent(cfg, software, log, keys)
	if err != nil {
		return err
	}
	servers, err := a.listen()
	if err != nil {
		return err
	}
	return a.serve(ctx, servers)
}

func newAgent(cfg *Config, software string, log *slog.Logger, keys *Identity) (*agent, error) {
	a := &agent{cfg: cfg, software: software, log: log, keys: keys, clock: NewClock(0), cursors: loadCursors(cfg.Dir), metrics: newLinkMetrics()}
	ways, paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	a.ways = ways
	a.engine = newEngine(log, a.clock, a.open, func() {
		a.chargers.closeAll(websocket.StatusServiceRestart, "gateway restarts, please reconnect")
	})
	a.chargers = newChargerServer(cfg, log, subprotocols(), a.engine.feed)
	a.link = newCloudLink(log, paths, a.clock, keys.StatementKey)
	a.signer = newSigner(log, keys.Signer)
	a.book = &bookKeeper{log: log, path: filepath.Join(cfg.Dir, bookFile), key: keys.SealKey}
	a.ntp = newNTPClient(log, a.clock, cfg.Time.NTP, a.input)
	a.cutout = &cutOut{cfg: cfg.Power.CutOut, log: log, feed: a.engine.feed}
	a.inspect = newInspector(log, a.engine, func(j holdfast.Journal) (journal.FS, error) {
		return durable.OpenDir(filepath.Join(cfg.Dir, map[holdfast.Journal]string{holdfast.Evidence: evidenceDir, holdfast.Telemetry: telemetryDir}[j]))
	})
	return a, nil
}

// open recovers a core whose effects answer into f.
func (a *agent) open(f *feed) (*core, error) {
	boot, err := nextBoot(a.cfg.Dir)
	if err != nil {
		return nil, err
	}
	a.clock.Reboot(boot)
	sh := &shell{feed: f, chargers: a.chargers, link: a.link, signer: a.signer, book: a.book, cutout: a.cutout}
	o, err := a.options(boot, sh)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	l, found, err := loop.Open(o)
	if err != nil {
		return nil, err
	}
	a.restart = nil
	a.log.Info("core recovered", "boot", boot, "seconds", time.Since(began).Seconds(), "created", found.Created,
		"snapshot", found.Snapshot, "folded", found.Folded, "new_epoch", found.NewEpoch, "quarantined", len(found.Evidence.Quarantined))
	return &core{
		turn:     func(now holdfast.Instant, in []gateway.Input) error { return a.turn(l, now, in) },
		later:    sh.later,
		report:   func() *Report { return a.report(l) },
		segments: func(j holdfast.Journal) []journal.SegmentInfo { return l.Log(j).Segments() },
		close:    l.Close,
	}, nil
}

// turn is the loop's turn with what only the daemon looks at.
func (a *agent) turn(l *loop.Loop, now holdfast.Instant, in []gateway.Input) error {
	for _, i := range in {
		a.cursors.take(i)
		a.metrics.take(i)
	}
	before := l.Core().Counters()
	err := l.Turn(now, in)
	if after := l.Core().Counters(); after.Repaired > before.Repaired {
		a.log.Info("the cloud's copy took the place of damaged records", "gaps_left", len(l.Core().State().Gaps))
	}
	if again := (*loop.RestartError)(nil); errors.As(err, &again) {
		a.restart = &again.Restart
	}
	evidence, _, _, _ := l.Stats()
	a.evidence.Store(evidence.Bytes)
	return err
}

// options are what the core is opened with.
func (a *agent) options(boot uint32, sh loop.Shell) (o loop.Options, err error) {
	o = loop.Options{Boot: boot, Shell: sh, Restart: a.restart, Config: a.coreConfig(), Clock: a.clock.Restore}
	rand.Read(o.Config.Seed[:]) // crypto/rand never fails
	rand.Read(o.Nonce[:])
	rand.Read(o.Epochs[0][:])
	rand.Read(o.Epochs[1][:])
	stamp := func() holdfast.UnixMilli { return a.clock.Now().Wall }
	segment := a.cfg.Storage.SegmentKiB << 10
	o.Journal = journal.Options{SegmentBytes: segment, MaxBytes: a.cfg.Storage.EvidenceMiB << 20, Clock: stamp}
	o.Telem = journal.Options{SegmentBytes: segment, MaxBytes: a.cfg.Storage.TelemetryMiB << 20, Clock: stamp}
	for name, dst := range map[string]*journal.FS{evidenceDir: &o.Evidence, telemetryDir: &o.Telemetry, snapshotsDir: &o.Snapshots} {
		dir, err := durable.MakeDir(filepath.Join(a.cfg.Dir, name))
		if err != nil {
			return o, fmt.Errorf("data directory: %w", err)
		}
		*dst = dir
		a.disks = append(a.disks, dir)
	}
	return o, nil
}

// coreConfig is the configuration as the core wants it.
func (a *agent) coreConfig() gateway.Config {
	c := gateway.Config{
		Gateway: a.keys.Gateway, Site: a.keys.Site, Software: a.software,
		Chargers: make(map[holdfast.ChargerID]gateway.ChargerConfig, len(a.cfg.Chargers)), HeartbeatS: int(a.cfg.HeartbeatSeconds),
		TokenKey: a.keys.TokenKey[:], SealKey: a.keys.SealKey, StatementKey: a.keys.StatementKey,
		Dialects: []ocpp.Dialect{v16.Dialect{}, v2.Dialect{}, v2.Dialect{Speaks: ocpp.V21}}, Schemas: ocpp.NewSchemas(), Lenient: a.cfg.OCPP.Lenient, AllowWeaker: a.cfg.OCPP.AllowWeakerSecurity,
		Routes: a.cfg.routes(a.keys), Native: a.cfg.Native.core(),
		Power: a.cfg.Power.site(), CutOut: a.cfg.Power.CutOut.core(),
	}
	for _, ch := range a.cfg.Chargers {
		c.Chargers[holdfast.ChargerID(ch.ID)] = gateway.ChargerConfig{MaxPower: holdfast.Watts(ch.MaxPowerW), Feed: a.cfg.feedOf(ch), Native: ch.Native.core(c.Native)}
	}
	if b, err := json.Marshal(a.cfg); err == nil { // plain data; it always works
		c.ConfigHash = sha256.Sum256(b)
	}
	return c
}

// input gives the present core an input; without a core it is forgotten.
func (a *agent) input(in gateway.Input) {
	if f := a.engine.feed(); f != nil {
		f.put(in)
	}
}

// report is made on the core's goroutine.
func (a *agent) report(l *loop.Loop) *Report {
	return &Report{
		Status: l.Core().Status(a.clock.Now()), Sockets: a.chargers.connected(), Listening: a.listening,
		OldestUnsynced: oldestUnsynced(l.Log(holdfast.Evidence), a.cursors),
		Inspection:     a.inspect.report(), Refused: a.link.refusal(), LinkBytes: bytesOver(a.ways), Clock: a.clock.Status(),
		counters: cloneCounters(l.Core().Counters()), syncs: a.syncs(),
	}
}

// syncs counts how often the cores of this process have waited for the disk.
func (a *agent) syncs() (n int64) {
	for _, d := range a.disks {
		n += d.Syncs()
	}
	return n
}

var errEnough = errors.New("enough read")

// oldestUnsynced returns when the first evidence record was written that the
// cloud has not reconciled; 0 when there is none or it cannot be read.
func oldestUnsynced(log *journal.Log, known *cursors) (at holdfast.UnixMilli) {
	for _, e := range log.Epochs() {
		from := max(holdfast.Seq(known.reconciled(holdfast.Evidence, e.Epoch)), e.First)
		if uint64(from) >= e.Size {
			continue
		}
		_ = log.Read(e.Epoch, from, func(f journal.Frame) error { // only a hint: an unreadable record has no time
			if f.Kind != journal.Record {
				return nil
			}
			if r, err := record.Decode(f.Body); err == nil {
				at = r.At.Wall
			}
			return errEnough
		})
		return at
	}
	return 0
}

// servers are the daemon's listeners.
type servers struct {
	ocpp, local *http.Server
	at          map[net.Listener]*http.Server
	secure      map[net.Listener]bool // those that speak TLS
}

// listen opens every socket, so that a taken port is an error at the start.
func (a *agent) listen() (s *servers, err error) {
	s = &servers{at: make(map[net.Listener]*http.Server), secure: make(map[net.Listener]bool)}
	defer func() {
		if err != nil {
			for l := range s.at {
				l.Close()
			}
		}
	}()
	quietly := slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)
	s.ocpp = &http.Server{Handler: a.chargers, ReadHeaderTimeout: HandshakeTimeout, IdleTimeout: HandshakeTimeout, MaxHeaderBytes: 16 << 10, ErrorLog: quietly}
	s.local = &http.Server{Handler: a.localAPI(), ReadHeaderTimeout: HandshakeTimeout, MaxHeaderBytes: 16 << 10, ErrorLog: quietly}
	if err := a.listenOCPP(s); err != nil {
		return s, err
	}
	l, err := listenUnix(a.cfg.Local.Socket)
	if err != nil {
		return s, err
	}
	s.at[l] = s.local
	if a.cfg.Local.Listen == "" {
		return s, nil
	}
	if l, err = net.Listen("tcp", a.cfg.Local.Listen); err != nil {
		return s, fmt.Errorf("local.listen: %w", err)
	}
	a.listening = append(a.listening, l.Addr().String())
	s.at[l] = s.local
	return s, nil
}

// listenOCPP opens the servers for chargers: one, which speaks TLS when there is
// a certificate, or two when tls_listen gives TLS an address of its own.
func (a *agent) listenOCPP(s *servers) (err error) {
	c := &a.cfg.OCPP
	if c.TLSCertificate != "" {
		if s.ocpp.TLSConfig, err = chargerTLS(c, a.log); err != nil {
			return err
		}
	}
	open := func(key, address string, secure bool) error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("ocpp.%s: %w", key, err)
		}
		a.listening = append(a.listening, l.Addr().String())
		d := newDoor(l, MaxSocketsPerID*len(a.cfg.Chargers)+spareConnections)
		s.at[d], s.secure[d] = s.ocpp, secure
		return nil
	}
	if err := open("listen", c.Listen, c.TLSCertificate != "" && c.TLSListen == ""); err != nil || c.TLSListen == "" {
		return err
	}
	return open("tls_listen", c.TLSListen, true)
}

func (a *agent) localAPI() http.Handler {
	return localAPI(&metrics{software: a.software, report: a.engine.report, server: a.chargers, link: a.metrics}, a.engine)
}

// serve runs everything until ctx ends or the engine gives up.
func (a *agent) serve(ctx context.Context, s *servers) error {
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.engine.run(stop) }()
	var web, watch sync.WaitGroup
	for l, srv := range s.at {
		web.Go(func() {
			serve := srv.Serve
			if s.secure[l] {
				serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				a.log.Error("a listener failed", "address", l.Addr().String(), "err", err.Error())
			}
		})
	}
	watchCtx, endWatch := context.WithCancel(context.Background())
	watch.Go(func() { a.watch(watchCtx) })
	watch.Go(func() { a.notify(watchCtx) })
	watch.Go(func() { a.inspect.run(watchCtx) })
	watch.Go(func() { a.ntp.run(watchCtx) })
	watch.Go(func() { a.cutout.run(watchCtx) })

	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		a.log.Info("stopping", "reason", context.Cause(ctx).Error())
		s.ocpp.Close()
		a.chargers.shutdown()
		close(stop)
		err = <-ended
	}
	endWatch()
	s.ocpp.Close()
	a.chargers.shutdown()
	s.local.Close()
	web.Wait()
	watch.Wait()
	a.link.stop()
	a.signer.stop()
	if err := a.cursors.save(); err != nil {
		a.log.Warn("cursors not saved", "err", err.Error())
	}
	a.log.Info("stopped")
	return err
}

// watch looks at the disk and writes the cursors down.
func (a *agent) watch(ctx context.Context) {
	space, save := time.NewTicker(SpaceEvery), time.NewTicker(saveCursorsEvery)
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	defer space.Stop()
	defer save.Stop()
	select {
	case <-a.engine.opened:
		a.lookAtSpace()
	case <-ctx.Done():
	}
	for {
		select {
		case <-space.C:
			a.lookAtSpace()
		case <-look.C:
			a.link.watchWays(a.ways, a.engine.feed())
		case <-save.C:
			reportUse(a.ways, a.engine.feed())
			if err := a.cursors.save(); err != nil {
				a.log.Warn("cursors not saved", "err", err.Error())
			}
		case <-ctx.Done():
			return
		}
	}
}

func (a *agent) lookAtSpace() {
	f := a.engine.feed()
	if f == nil {
		return
	}
	dir, err := durable.OpenDir(a.cfg.Dir)
	if err != nil {
		a.log.Error("free space unknown", "err", err.Error())
		return
	}
	free, err := dir.Free()
	if err != nil {
		a.log.Error("free space unknown", "err", err.Error())
		return
	}
	f.put(gateway.Space{FreeBytes: evidenceSpace(a.cfg.Storage, a.evidence.Load(), free)})
}

// subprotocols lists what chargers may speak, in the order of preference.
func subprotocols() (out []string) {
	for _, v := range ocpp.Versions() {
		out = append(out, string(v))
	}
	return out
}

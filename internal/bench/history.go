package bench

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/gateway/loop"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/ocpp"
	v16 "github.com/holdfast-ev/holdfast/ocpp/v16"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Aims of a long journal: 8 connectors at 5 sessions a day for 365 days.
const (
	historyRecords  = 365_000
	historyChargers = 40
	maxReady        = 2 * time.Second
	maxRefold       = 10 * time.Second
	maxRecordBytes  = 735
)

// history fills a gateway's journal with what years offline leave behind, and
// starts the shipped program on it.
func history(r *Run) error {
	s, err := r.newSite(historyChargers)
	if err != nil {
		return err
	}
	want := r.Count(historyRecords, 2_000)
	records, err := writeHistory(s, want)
	if err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	evidence := filepath.Join(s.dir, "evidence")
	size, err := forget(evidence) // the disk's cache too: a cold boot
	if err != nil {
		return err
	}
	if _, err := forget(filepath.Join(s.dir, "snapshots")); err != nil {
		return err
	}
	ready, err := s.bootTime()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "snapshots")); err != nil {
		return err
	}
	if _, err := forget(evidence); err != nil {
		return err
	}
	refold, err := s.bootTime()
	if err != nil {
		return err
	}
	if _, err := forget(evidence); err != nil {
		return err
	}
	hashing, err := readAndHash(evidence)
	if err != nil {
		return err
	}
	per := float64(size) / float64(records)
	r.Add(Figure{Name: "bytes per evidence record", Value: per, Unit: "B", Aim: fmt.Sprintf("at most %d", maxRecordBytes), Met: per <= maxRecordBytes,
		Note: fmt.Sprintf("%d records in %.0f MiB: sessions of four hours with hourly readings, decided offline, with receipts and checkpoints", records, mib(size))})
	floor := fmt.Sprintf("reading and hashing the same files, %.2f s", hashing.Seconds())
	r.Add(Figure{Name: "ready after a cold boot", Value: ready.Seconds(), Unit: "s", Of: floor, Ratio: ready.Seconds() / hashing.Seconds(),
		Aim: fmt.Sprintf("at most %.0f s", maxReady.Seconds()), Met: ready <= maxReady, Note: "from exec to the first answer, the unlocking of the device key included"})
	r.Add(Figure{Name: "ready without a snapshot (full refold)", Value: refold.Seconds(), Unit: "s", Of: floor, Ratio: refold.Seconds() / hashing.Seconds(),
		Aim: fmt.Sprintf("at most %.0f s", maxRefold.Seconds()), Met: refold <= maxRefold})
	return nil
}

// bootTime starts the gateway, waits until it serves, and ends it by a power cut:
// an orderly end would leave a snapshot of everything.
func (s *site) bootTime() (time.Duration, error) {
	began := time.Now()
	if err := s.start(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	err := s.proc.kill()
	s.proc = nil
	return took, err
}

// forget asks the kernel to drop the cached pages of a directory's files, and
// returns their size.
func forget(dir string) (size int64, err error) {
	err = eachFile(dir, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		size += info.Size()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	return size, err
}

// readAndHash is the floor of a refold.
func readAndHash(dir string) (time.Duration, error) {
	began := time.Now()
	h := sha256.New()
	err := eachFile(dir, func(f *os.File) error {
		_, err := io.Copy(h, f)
		return err
	})
	return time.Since(began), err
}

// eachFile opens every file below a directory, one after the other.
func eachFile(dir string, do func(*os.File) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(f)
	})
}

// A historian is a gateway's core in a hurry: its clock is ours, and so are its
// chargers.
type historian struct {
	loop.Shell // nil: what is not below is never asked for
	keys       *agent.Identity
	l          *loop.Loop
	now        holdfast.Instant
	later      []gateway.Input
	answers    map[gateway.ConnID][]byte // the newest answer to each charger's call
	failed     error
}

func (h *historian) Close(gateway.Close)       {}
func (h *historian) Route(uplink.Route)        {}
func (h *historian) Probe(uplink.Route)        {}
func (h *historian) Output(gateway.Output)     {}
func (h *historian) Book(gateway.BookRequest)  {}
func (h *historian) KeepBook(gateway.KeepBook) {}

// Hello finds no cloud.
func (h *historian) Hello(uplink.Hello) {
	h.later = append(h.later, gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable})
}

// Send answers for the charger when it is asked something.
func (h *historian) Send(s gateway.Send) {
	if !bytes.HasPrefix(s.Raw, []byte("[2,")) {
		h.answers[s.Conn] = s.Raw
		return
	}
	_, id, _ := bytes.Cut(s.Raw, []byte(`"`))
	id, rest, _ := bytes.Cut(id, []byte(`"`))
	answer := `{"status":"Accepted"}`
	if bytes.HasPrefix(rest, []byte(`,"GetConfiguration"`)) {
		answer = `{}`
	}
	h.later = append(h.later, gateway.Frame{Conn: s.Conn, Raw: fmt.Appendf(nil, `[3,"%s",%s]`, id, answer)})
}

func (h *historian) Sign(r gateway.SignRequest) {
	b, err := statement.Sign(h.keys.Signer, rand.Reader, r.Typ, r.Payload)
	h.failed = errors.Join(h.failed, err)
	h.later = append(h.later, gateway.Signed{ID: r.ID, Bytes: b})
}

func (h *historian) SignCheckpoint(origin string, size uint64, root holdfast.Hash) {
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, h.keys.Signer, rand.Reader)
	h.failed = errors.Join(h.failed, err)
	h.later = append(h.later, gateway.CheckpointSigned{Size: size, Note: note})
}

// turn lets time pass and takes inputs, and then what they gave rise to.
func (h *historian) turn(ms int64, in ...gateway.Input) error {
	h.now.Mono += ms
	h.now.Wall += holdfast.UnixMilli(ms)
	in = append(in, gateway.Tick{})
	for len(in) > 0 {
		if err := errors.Join(h.l.Turn(h.now, in), h.failed); err != nil {
			return err
		}
		in, h.later = h.later, nil
	}
	return nil
}

// writeHistory runs sessions through the core until its evidence journal has as
// many records as wanted.
func writeHistory(s *site, want int) (records int, err error) {
	h, err := openHistory(s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.l.Close()) }()
	var in []gateway.Input
	for i := range historyChargers {
		in = append(in, gateway.Connected{Conn: gateway.ConnID(i + 1), Charger: holdfast.ChargerID(chargerID(i)), Version: "ocpp1.6", Proved: true})
	}
	if err := h.turn(1000, in...); err != nil {
		return 0, err
	}
	const hour = 3600_000
	next := func() int { return int(h.l.Log(holdfast.Evidence).Next()) }
	for wh := 1000; next() < want; {
		err := h.everybody(2000, "Authorize", func(i int) string { return fmt.Sprintf(`{"idTag":"%s"}`, card(i)) })
		if err == nil {
			err = h.everybody(3000, "StartTransaction", func(i int) string {
				return fmt.Sprintf(`{"connectorId":1,"idTag":"%s","meterStart":%d,"timestamp":"%s"}`, card(i), wh, h.now.Wall)
			})
		}
		tx := map[int]string{}
		for i := range historyChargers {
			_, id, _ := bytes.Cut(h.answers[gateway.ConnID(i+1)], []byte(`"transactionId":`))
			tx[i] = string(id[:max(0, bytes.IndexAny(id, ",}"))])
		}
		for n := 0; n < 4 && err == nil; n++ {
			wh += 5000
			err = h.everybody(hour, "MeterValues", func(i int) string {
				return fmt.Sprintf(`{"connectorId":1,"transactionId":%s,"meterValue":[{"timestamp":"%s","sampledValue":[{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"},`+
					`{"value":"5000.0","measurand":"Power.Active.Import","unit":"W"},{"value":"7.2","measurand":"Current.Import","phase":"L1","unit":"A"}]}]}`, tx[i], h.now.Wall, wh)
			})
		}
		if err == nil {
			err = h.everybody(5*60_000, "StopTransaction", func(i int) string {
				return fmt.Sprintf(`{"transactionId":%s,"idTag":"%s","meterStop":%d,"timestamp":"%s","reason":"Local"}`, tx[i], card(i), wh, h.now.Wall)
			})
		}
		if err == nil {
			err = h.turn(2000)
		}
		if err != nil {
			return 0, err
		}
	}
	return next(), nil
}

// everybody lets every charger make one call in the same turn.
func (h *historian) everybody(ms int64, action string, payload func(i int) string) error {
	var in []gateway.Input
	for i := range historyChargers {
		in = append(in, gateway.Frame{Conn: gateway.ConnID(i + 1), Raw: fmt.Appendf(nil, `[2,"%d","%s",%s]`, h.now.Mono, action, payload(i))})
	}
	clear(h.answers)
	if err := h.turn(ms, in...); err != nil {
		return err
	}
	for i := range historyChargers {
		if a := h.answers[gateway.ConnID(i+1)]; !bytes.HasPrefix(a, []byte("[3,")) {
			return fmt.Errorf("charger %d: %s was answered with %.300s", i, action, a)
		}
	}
	return nil
}

// openHistory opens the site's own data in this process.
func openHistory(s *site) (*historian, error) {
	cfg, err := agent.LoadConfig(s.config)
	if err != nil {
		return nil, err
	}
	h := &historian{answers: map[gateway.ConnID][]byte{}}
	if h.keys, err = agent.OpenIdentity(cfg); err != nil {
		return nil, err
	}
	h.now = holdfast.Instant{Wall: holdfast.UnixMilli(time.Now().UnixMilli()), Quality: holdfast.Synchronised, Boot: 1 << 20}
	stamp := func() holdfast.UnixMilli { return h.now.Wall }
	o := loop.Options{
		Boot: h.now.Boot, Shell: h, Clock: func(holdfast.UnixMilli, holdfast.Instant) holdfast.Instant { return h.now },
		Journal: journal.Options{SegmentBytes: cfg.Storage.SegmentKiB << 10, MaxBytes: cfg.Storage.EvidenceMiB << 20, Clock: stamp},
		Telem:   journal.Options{SegmentBytes: cfg.Storage.SegmentKiB << 10, MaxBytes: cfg.Storage.TelemetryMiB << 20, Clock: stamp},
		Config: gateway.Config{
			Gateway: h.keys.Gateway, Site: h.keys.Site, Software: "bench", Chargers: map[holdfast.ChargerID]gateway.ChargerConfig{},
			TokenKey: h.keys.TokenKey[:], SealKey: h.keys.SealKey, StatementKey: h.keys.StatementKey,
			Dialects: []ocpp.Dialect{v16.Dialect{}}, Schemas: ocpp.NewSchemas(),
		},
	}
	rand.Read(o.Config.Seed[:])
	rand.Read(o.Nonce[:])
	for i := range o.Epochs {
		rand.Read(o.Epochs[i][:])
	}
	for i := range historyChargers {
		o.Config.Chargers[holdfast.ChargerID(chargerID(i))] = gateway.ChargerConfig{MaxPower: 350_000}
	}
	for name, dst := range map[string]*journal.FS{"evidence": &o.Evidence, "telemetry": &o.Telemetry, "snapshots": &o.Snapshots} {
		if *dst, err = durable.MakeDir(filepath.Join(s.dir, name)); err != nil {
			return nil, err
		}
	}
	h.l, _, err = loop.Open(o)
	return h, err
}

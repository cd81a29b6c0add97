package ledger_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/tariff"
)

// noon is a plausible wall clock that the stories begin at.
const noon holdfast.UnixMilli = 1_790_000_000_000

const tariffText = `{"country_code":"DE","party_id":"HFT","id":"day","currency":"EUR","elements":[{"price_components":[
	{"type":"FLAT","price":0.50,"vat":19,"step_size":1},
	{"type":"ENERGY","price":0.49,"vat":19,"step_size":1},
	{"type":"TIME","price":0.60,"vat":19,"step_size":60},
	{"type":"PARKING_TIME","price":3.00,"vat":19,"step_size":300}]}]}`

var dayRef = record.TariffRef{ID: "day", Version: 3, Hash: holdfast.LeafHash([]byte("day 3")), Currency: "EUR"}

func parseTariff(t testing.TB, text string) *tariff.Tariff {
	t.Helper()
	p, err := tariff.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// book returns a finder that knows one tariff.
func book(p *tariff.Tariff) func(record.TariffRef) (*tariff.Tariff, bool) {
	return func(r record.TariffRef) (*tariff.Tariff, bool) { return p, r.Hash == dayRef.Hash }
}

// A story writes the records of one session as a gateway would: with its own
// positions, leaf hashes and instants.
type story struct {
	t       interface{ Fatal(...any) }
	gateway holdfast.GatewayID
	epoch   holdfast.Epoch
	charger holdfast.ChargerID
	seq     holdfast.Seq
	at      holdfast.Instant
	id      holdfast.SessionID
	items   []ledger.Item
}

func newStory(t interface{ Fatal(...any) }) *story {
	return &story{
		t: t, gateway: "gw-1", epoch: holdfast.Epoch{7}, charger: "CP1", seq: 40,
		at: holdfast.Instant{Wall: noon, Quality: holdfast.Synchronised, Boot: 2, Mono: 5_000},
	}
}

// wait lets time pass.
func (s *story) wait(seconds int64) *story {
	s.at.Wall += holdfast.UnixMilli(seconds * 1000)
	s.at.Mono += seconds * 1000
	return s
}

// write appends a record. Other sessions' records lie in between.
func (s *story) write(b record.Body) *story {
	r := record.Record{Seq: s.seq, At: s.at, Session: s.id, Charger: s.charger, Body: b}
	raw, err := record.Encode(r)
	if err != nil {
		s.t.Fatal(err)
	}
	it := ledger.Item{
		Pos:  holdfast.Pos{Gateway: s.gateway, Journal: holdfast.Evidence, Epoch: s.epoch, Seq: s.seq},
		Leaf: holdfast.LeafHash(raw), Record: r,
	}
	if s.id.IsZero() {
		s.id = holdfast.SessionID(it.Leaf)
	}
	s.items = append(s.items, it)
	s.seq += 3
	return s
}

func wh(n holdfast.WattHours) *holdfast.WattHours { return &n }

// open is an ordinary start from a register.
func (s *story) open(start holdfast.WattHours, change ...func(*record.SessionOpened)) *story {
	seq := s.seq - 1
	o := &record.SessionOpened{
		Decision: &seq, Nonce: "00112233445566778899aabbccddeeff", Source: record.StartAuthorized,
		Token: holdfast.TokenHash{1}, EVSE: 1, Connector: 1, StartedAt: s.at.Wall, Start: wh(start), StartTrust: record.Trusted,
		Link: holdfast.Online, Tariff: &dayRef, PowerBudget: 22_000, Labels: map[string]string{"ocpp16.transaction_id": "12"},
	}
	for _, c := range change {
		c(o)
	}
	return s.write(o)
}

func (s *story) reading(why string, register holdfast.WattHours) *story {
	return s.write(&record.SessionReading{Why: why, Reading: holdfast.Reading{At: s.at.Wall, Register: wh(register)}})
}

func (s *story) end(stop holdfast.WattHours, change ...func(*record.SessionEnded)) *story {
	e := &record.SessionEnded{StoppedAt: s.at.Wall, Stop: wh(stop), StopTrust: record.Trusted, Reason: "Local"}
	for _, c := range change {
		c(e)
	}
	return s.write(e)
}

// last rewrites the newest item, for stories that are not honest.
func (s *story) last() *ledger.Item { return &s.items[len(s.items)-1] }

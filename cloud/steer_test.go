package cloud_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

func TestEnrolment(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		b := w.box("north")
		if b.id != "gw-north" || string(b.enrolled.Certificate) != "certificate of gw-north" || len(b.enrolled.TokenKey) != 32 ||
			len(b.enrolled.SealKey) != 32 || b.enrolled.Endpoint == "" || bytes.Equal(b.enrolled.TokenKey, b.enrolled.SealKey) {
			t.Errorf("enrolled: %+v", b.enrolled)
		}
		if !strings.HasPrefix(b.code, "hf-") || len(strings.Split(b.code, "-")[2]) != 32 {
			t.Errorf("code %q", b.code)
		}
		again, err := w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: b.code, CSR: csr(t, b.key)})
		if err != nil || !bytes.Equal(again.TokenKey, b.enrolled.TokenKey) {
			t.Errorf("the lost answer, asked for again: %v", err)
		}
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: b.code, CSR: csr(t, newKey(t))})
		wantError(t, "a used code with another key", err, cloud.ErrCode)
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: "hf-" + strings.Repeat("0", 32), CSR: csr(t, b.key)})
		wantError(t, "a guessed code", err, cloud.ErrCode)

		_, code, err := w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "south"})
		w.must(err)
		_, err = w.plane.Enrol(ctx, w.now+cloud.CodeLifeMillis+1, uplink.Enrol{Code: code, CSR: csr(t, b.key)})
		wantError(t, "an expired code", err, cloud.ErrCode)
		fresh, err := w.plane.NewCode(ctx, w.now, "south", "test")
		w.must(err)
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: code, CSR: csr(t, b.key)})
		wantError(t, "a voided code", err, cloud.ErrCode)
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		w.must(err)
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: fresh, CSR: csr(t, p384)})
		wantError(t, "another curve", err, cloud.ErrInvalid)
		forged := csr(t, b.key)
		forged[len(forged)-1] ^= 1
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: fresh, CSR: forged})
		wantError(t, "a request that its key did not sign", err, cloud.ErrInvalid)
		if _, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: fresh, CSR: csr(t, newKey(t))}); err != nil {
			t.Errorf("after all of that: %v", err)
		}
		// The code itself is nowhere in the store.
		w.must(w.store.View(ctx, func(tx cloud.Tx) error {
			docs, err := tx.List(cloud.KindCode, cloud.Query{})
			for _, d := range docs {
				if strings.Contains(string(d.Body)+d.Key, strings.Split(fresh, "-")[1]) {
					t.Error("a code is stored in clear")
				}
			}
			return err
		}))
	})
}

func TestBadRequestsAreRefused(t *testing.T) {
	w := memoryWorld(t)
	ctx, b := t.Context(), w.box("north")
	_, _, err := w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "north"})
	wantError(t, "a site twice", err, cloud.ErrExists)
	_, _, err = w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "other", Gateway: b.id})
	wantError(t, "a gateway twice", err, cloud.ErrExists)
	hello := func(h uplink.Hello) error { _, err := w.plane.Hello(ctx, w.now, b.id, h); return err }
	nonce := strings.Repeat("ab", 16)
	for what, err := range map[string]error{
		"a site id with a space":  second(w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "no rth"})),
		"a long name":             second(w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "x", Name: strings.Repeat("x", 300)})),
		"a negative policy":       second(w.plane.AddSite(ctx, w.now, cloud.AddSite{ID: "x", Policy: access.Policy{HardAfterS: -1}})),
		"an empty token":          last(w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "  "})),
		"a long token":            last(w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: strings.Repeat("x", 256)})),
		"an unknown whitelist":    last(w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "x", Whitelist: "SOMETIMES"})),
		"a negative limit":        last(w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "x", Limits: holdfast.Limits{Energy: -1}})),
		"a tariff with a typo":    last(w.plane.PutTariff(ctx, w.now, cloud.PutTariff{OCPI: []byte(`{"id":"day"}`)})),
		"a grant for ever":        last(w.plane.IssueGrant(ctx, w.now, cloud.IssueGrant{Site: "north", Token: "x", Expires: w.now + 1<<40})),
		"a grant of the past":     last(w.plane.IssueGrant(ctx, w.now, cloud.IssueGrant{Site: "north", Token: "x", Expires: w.now - 1})),
		"a start without a token": last(w.plane.RemoteStart(ctx, w.now, "north", uplink.StartBody{Charger: "CP1"}, "")),
		"a start of no charger":   last(w.plane.RemoteStart(ctx, w.now, "north", uplink.StartBody{Charger: "a/b", Token: "x"}, "")),
		"a trigger of nothing":    last(w.plane.Trigger(ctx, w.now, "north", uplink.TriggerBody{Charger: "CP1"}, "")),
		"read and write at once":  last(w.plane.Config(ctx, w.now, "north", uplink.ConfigBody{Charger: "CP1", Key: "a", Keys: []string{"b"}}, "")),
		"data of no vendor":       last(w.plane.Data(ctx, w.now, "north", uplink.DataBody{Charger: "CP1"}, "")),
		"a page of 1001":          second(w.plane.Sites(ctx, cloud.Page{Limit: 1001})),
		"a bad nonce":             hello(uplink.Hello{Gateway: b.id, Nonce: "short"}),
		"too many heads":          hello(uplink.Hello{Gateway: b.id, Nonce: nonce, Heads: make([]uplink.Head, cloud.MaxHeads+1)}),
		"a head of no journal":    hello(uplink.Hello{Gateway: b.id, Nonce: nonce, Heads: []uplink.Head{{Journal: "diary", Epoch: holdfast.Epoch{1}}}}),
		"a head that ends before": hello(uplink.Hello{Gateway: b.id, Nonce: nonce, Heads: []uplink.Head{{Journal: holdfast.Evidence, Epoch: holdfast.Epoch{1}, First: 2, Size: 1}}}),
	} {
		wantError(t, what, err, cloud.ErrInvalid)
	}
	for what, err := range map[string]error{
		"an unknown site":    last(w.plane.Site(ctx, "nowhere")),
		"an unknown session": last(w.plane.Session(ctx, holdfast.SessionID{1})),
		"a stop of it":       last(w.plane.RemoteStop(ctx, w.now, holdfast.SessionID{1}, "")),
		"an unknown token":   last(w.plane.RevokeToken(ctx, w.now, "nobody", "")),
		"erasing it":         last(w.plane.EraseToken(ctx, w.now, "nobody", "")),
		"a token elsewhere":  last(w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "x", Sites: []holdfast.SiteID{"nowhere"}})),
		"a tariff elsewhere": last(w.plane.PutTariff(ctx, w.now, cloud.PutTariff{OCPI: []byte(dayTariff), Sites: []holdfast.SiteID{"nowhere"}})),
		"a code for it":      last(w.plane.NewCode(ctx, w.now, "nowhere", "")),
	} {
		wantError(t, what, err, cloud.ErrNotFound)
	}
	wantError(t, "a hello in another's name", hello(uplink.Hello{Gateway: "gw-south", Nonce: nonce}), cloud.ErrForbidden)
}

func last[T any](_ T, err error) error           { return err }
func second[T, U any](_ T, _ U, err error) error { return err }

// A replaced gateway is locked out by its successor; what its key signed before
// stays valid, and the successor gets everything installed anew.
func TestReplacedGateway(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		if id, err := w.plane.Admit(ctx, b.certificate(b.key)); err != nil || id != b.id {
			t.Errorf("admit: %s, %v", id, err)
		}
		wantError(t, "a certificate of another key", last(w.plane.Admit(ctx, b.certificate(newKey(t)))), cloud.ErrForbidden)
		b.charge(visit{wh: 3000})
		b.checkpoint()

		code, err := w.plane.NewCode(ctx, w.now, "north", "test")
		w.must(err)
		old := b.key
		b.key = newKey(t)
		_, err = w.plane.Enrol(ctx, w.now, uplink.Enrol{Code: code, CSR: csr(t, b.key)})
		w.must(err)
		wantError(t, "the old certificate", last(w.plane.Admit(ctx, b.certificate(old))), cloud.ErrForbidden)
		if _, err := w.plane.Admit(ctx, b.certificate(b.key)); err != nil {
			t.Errorf("the new certificate: %v", err)
		}
		due, err := w.plane.Due(ctx, w.now, b.id)
		w.must(err)
		kinds := []uplink.DirectiveKind{}
		for _, d := range due {
			kinds = append(kinds, d.Kind)
		}
		if !slices.Equal(kinds, []uplink.DirectiveKind{uplink.InstallList, uplink.InstallTariff}) {
			t.Errorf("due for the new gateway: %v", kinds)
		}
		b.sync() // signed by the old key
		if c := w.cursor(b, b.evidence); c.Reconciled != b.size() {
			t.Errorf("what the old key signed: %+v, want all %d", c, b.size())
		}
	})
}

func TestHelloBindsTheTimeAndNamesCursors(t *testing.T) {
	w := memoryWorld(t)
	b := readyBox(w, "north")
	b.put(record.Record{Charger: "CP1", Body: &record.StatusNoted{EVSE: 1, Status: "Available"}})
	b.charge(visit{wh: 100})
	wel := b.hello()
	payload, err := statement.Verify(&w.signer.PublicKey, statement.TypTime, wel.Time)
	w.must(err)
	at, err := statement.DecodeTime(payload)
	if err != nil || at.Nonce != strings.Repeat("ab", 16) || at.Now != w.now {
		t.Errorf("time %+v, %v", at, err)
	}
	if len(wel.Cursors) != 2 || wel.Cursors[0].Journal != holdfast.Evidence || wel.Cursors[0].Received == 0 || wel.Cursors[1].Received != 0 {
		t.Errorf("cursors %+v", wel.Cursors)
	}
	s, err := w.plane.Site(t.Context(), "north")
	if err != nil || s.Contact.Seen != w.now || s.Contact.Software != "test 1" || s.Contact.Backlog != 4 {
		t.Errorf("contact %+v, %v", s.Contact, err)
	}
	if got := s.Contact.LinkAt(w.now); got != holdfast.Syncing {
		t.Errorf("link %s with a backlog, want SYNCING", got)
	}
	if got := s.Contact.LinkAt(w.now + cloud.SilentAfterMillis + 1); got != holdfast.Offline {
		t.Errorf("link %s after silence, want OFFLINE", got)
	}
	b.put(record.Record{Body: &record.LinkChanged{From: holdfast.Offline, To: holdfast.Syncing, Cause: holdfast.CauseNone}})
	b.put(record.Record{Body: &record.LinkChanged{From: holdfast.Syncing, To: holdfast.Synced, Cause: holdfast.CauseNone}})
	b.sync()
	if s, err = w.plane.Site(t.Context(), "north"); err != nil || s.Contact.LinkAt(w.now) != holdfast.Synced || s.Contact.Backlog != 0 {
		t.Errorf("contact %+v, %v", s.Contact, err)
	}
}

func (b *box) decodedList(t *testing.T) *access.List {
	t.Helper()
	payload, err := statement.Verify(&b.w.signer.PublicKey, statement.TypList, b.list)
	b.w.must(err)
	l, err := access.DecodeList(payload)
	b.w.must(err)
	return l
}

func TestTokensReachTheList(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, north, south := t.Context(), w.box("north"), w.box("south")
		north.hello()
		first := north.decodedList(t)
		if len(first.Entries) != 0 || first.Site != "north" {
			t.Errorf("the first list: %+v", first)
		}
		everywhere, err := w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "04a1b2c3", Label: "Ann", Whitelist: access.Always, Limits: holdfast.Limits{Energy: 50_000}})
		w.must(err)
		_, err = w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "04FFFFFF", Sites: []holdfast.SiteID{"south"}})
		w.must(err)
		due, err := w.plane.Due(ctx, w.now, north.id)
		if err != nil || len(due) != 1 { // the older install is superseded, not sent after
			t.Errorf("%d directives wait, %v", len(due), err)
		}
		north.hello()
		south.hello()
		ann := func(b *box) holdfast.TokenHash { return holdfast.Token{Value: "04A1B2C3"}.Hash(b.enrolled.TokenKey) } // case does not matter
		l := north.decodedList(t)
		if e := l.Entries[ann(north)]; len(l.Entries) != 1 || e.Whitelist != access.Always || !e.Valid || e.Limits.Energy != 50_000 || l.Version <= first.Version {
			t.Errorf("north's list: %+v", l)
		}
		if ann(north) == ann(south) {
			t.Error("one token has one hash at two sites")
		}
		if l := south.decodedList(t); len(l.Entries) != 2 {
			t.Errorf("south's list: %+v", l)
		}
		// Nothing changed: no new version, nothing to deliver.
		_, err = w.plane.PutToken(ctx, w.now+5, cloud.PutToken{Value: "04A1B2C3", Whitelist: access.Always, Limits: holdfast.Limits{Energy: 50_000}})
		w.must(err)
		_, version, err := w.plane.ListFor(ctx, w.now, "north")
		if err != nil || version != l.Version {
			t.Errorf("version %d after no change, was %d, %v", version, l.Version, err)
		}
		if _, err = w.plane.RevokeToken(ctx, w.now, everywhere.ID, "test"); err != nil {
			t.Fatal(err)
		}
		north.hello()
		if e, ok := north.decodedList(t).Entries[ann(north)]; !ok || e.Valid {
			t.Errorf("revoked: %+v %v, want an entry that is not valid", e, ok)
		}
		// A site that comes later has the tokens of every site.
		west := w.box("west")
		west.hello()
		if e, ok := west.decodedList(t).Entries[ann(west)]; !ok || e.Valid {
			t.Errorf("the late site: %+v %v", e, ok)
		}
		// The policy travels in the list.
		w.must(w.plane.SetPolicy(ctx, w.now, "north", access.Policy{Dark: true}, "test"))
		north.hello()
		if !north.decodedList(t).Policy.Dark {
			t.Error("the policy did not arrive")
		}
		// No value is anywhere in the store.
		w.must(w.store.View(ctx, func(tx cloud.Tx) error {
			for _, k := range cloud.Kinds() {
				docs, err := tx.List(k, cloud.Query{})
				if err != nil {
					return err
				}
				for _, d := range docs {
					if s := strings.ToUpper(fmt.Sprintf("%s %v %s", d.Key, d.Fields, d.Body)); strings.Contains(s, "04A1B2C3") {
						t.Errorf("%s %s holds a token in clear", k, d.Key)
					}
				}
			}
			return nil
		}))
	})
}

func TestAuthorize(t *testing.T) {
	w := memoryWorld(t)
	ctx, b := t.Context(), w.box("north")
	ask := func(value string) uplink.Told {
		t.Helper()
		told, err := w.plane.Authorize(ctx, w.now, b.id, uplink.Ask{Token: holdfast.Token{Value: value}.Hash(b.enrolled.TokenKey), Charger: "CP1"})
		w.must(err)
		return told
	}
	for _, p := range []cloud.PutToken{{Value: "good", Whitelist: access.Never, Limits: holdfast.Limits{Energy: 9}}, {Value: "old", Expires: w.now}, {Value: "bad"}} {
		_, err := w.plane.PutToken(ctx, w.now, p)
		w.must(err)
	}
	_, err := w.plane.RevokeToken(ctx, w.now, "bad", "test")
	w.must(err)
	for value, status := range map[string]string{"old": access.StatusExpired, "bad": access.StatusBlocked, "nobody": access.StatusInvalid} {
		if told := ask(value); told.Accepted || told.Status != status || told.Reason == "" || told.Grant != nil {
			t.Errorf("%s: %+v, want %s", value, told, status)
		}
	}
	told := ask("good") // NEVER decides offline, and asks the cloud each time: this is the cloud
	payload, err := statement.Verify(&w.signer.PublicKey, statement.TypGrant, told.Grant)
	w.must(err)
	g, err := access.DecodeGrant(payload)
	if err != nil || !told.Accepted || g.Site != "north" || g.Limits.Energy != 9 || g.Expires <= w.now || g.Expires > w.now+cloud.AskGrantMillis {
		t.Errorf("%+v %+v, %v", told, g, err)
	}
	_, err = w.plane.Authorize(ctx, w.now, "gw-nobody", uplink.Ask{})
	wantError(t, "an unknown gateway", err, cloud.ErrNotFound)
}

func TestGrantGoesDown(t *testing.T) {
	w := memoryWorld(t)
	b := w.box("north")
	g, err := w.plane.IssueGrant(t.Context(), w.now, cloud.IssueGrant{Site: "north", Token: "guest", Expires: w.now + 3600_000, MaxSessions: 2})
	w.must(err)
	due, err := w.plane.Due(t.Context(), w.now, b.id)
	w.must(err)
	if i := slices.IndexFunc(due, func(d uplink.Directive) bool { return d.Kind == uplink.InstallGrant }); i < 0 || !bytes.Equal(due[i].Statement, g.Statement) {
		t.Errorf("the grant does not wait: %+v", due)
	}
	if due, err = w.plane.Due(t.Context(), g.Expires+1, b.id); err != nil || slices.ContainsFunc(due, func(d uplink.Directive) bool { return d.Kind == uplink.InstallGrant }) {
		t.Errorf("an expired grant is delivered: %+v, %v", due, err)
	}
}

// A directive is delivered until the gateway's record of its outcome arrives.
func TestDirectives(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		b.sync()
		if due, err := w.plane.Due(ctx, w.now, b.id); err != nil || len(due) != 0 {
			t.Fatalf("after the installs are done: %+v, %v", due, err)
		}
		id, err := w.plane.RemoteStart(ctx, w.now, "north", uplink.StartBody{Charger: "CP1", EVSE: 1, Token: "04A1B2C3", TokenType: "ISO14443"}, "test")
		w.must(err)
		for range 2 {
			due, err := w.plane.Due(ctx, w.now, b.id)
			w.must(err)
			var body uplink.StartBody
			if len(due) != 1 || due[0].ID != id || json.Unmarshal(due[0].Body, &body) != nil || body.Token != "04A1B2C3" || body.Charger != "CP1" {
				t.Fatalf("due: %+v", due)
			}
		}
		d, err := w.plane.Directive(ctx, id)
		if err != nil || d.Outcome != "" || strings.Contains(string(d.Body), "04A1B2C3") {
			t.Errorf("shown: %+v, %v", d, err)
		}
		b.hello() // carries it out and records so
		if due, err := w.plane.Due(ctx, w.now, b.id); err != nil || len(due) != 1 {
			t.Errorf("delivered again until the record is here: %+v, %v", due, err)
		}
		b.sync()
		if d, err = w.plane.Directive(ctx, id); err != nil || d.Outcome != "done" {
			t.Errorf("outcome: %+v, %v", d, err)
		}

		id, err = w.plane.Trigger(ctx, w.now, "north", uplink.TriggerBody{Charger: "CP1", Message: "MeterValues"}, "test")
		w.must(err)
		w.now += cloud.DirectiveLifeMillis + 1
		if w := b.hello(); len(w.Directives) != 0 {
			t.Errorf("an expired command is delivered: %+v", w.Directives)
		}
		if d, err = w.plane.Directive(ctx, id); err != nil || d.Outcome != cloud.OutcomeUndelivered {
			t.Errorf("outcome of an expired command: %+v, %v", d, err)
		}
		// The gateway knows better: it had it, and its record was under way.
		b.put(record.Record{Body: &record.DirectiveDone{ID: id, Outcome: "done"}})
		b.sync()
		if d, err = w.plane.Directive(ctx, id); err != nil || d.Outcome != "done" {
			t.Errorf("outcome as recorded: %+v, %v", d, err)
		}
		list, _, err := w.plane.Directives(ctx, "north", cloud.Page{})
		if err != nil || len(list) != 4 {
			t.Errorf("%d directives, want 4: %v", len(list), err)
		}
	})
}

// One gateway cannot close another's directives.
func TestForeignDirectiveDone(t *testing.T) {
	w := memoryWorld(t)
	ctx, north, south := t.Context(), readyBox(w, "north"), readyBox(w, "south")
	_ = north
	id, err := w.plane.Trigger(ctx, w.now, "north", uplink.TriggerBody{Charger: "CP1", Message: "MeterValues"}, "test")
	w.must(err)
	south.put(record.Record{Body: &record.DirectiveDone{ID: id, Outcome: "done"}})
	south.sync()
	if d, err := w.plane.Directive(ctx, id); err != nil || d.Outcome != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWelcomeStaysWithinItsBounds(t *testing.T) {
	w := memoryWorld(t)
	ctx, b := t.Context(), w.box("north")
	for range 200 {
		_, err := w.plane.Data(ctx, w.now, "north", uplink.DataBody{Charger: "CP1", Vendor: "v", Data: mustJSON(t, strings.Repeat("x", 40_000))}, "test")
		w.must(err)
	}
	due, err := w.plane.Due(ctx, w.now, b.id)
	w.must(err)
	if size := len(mustJSON(t, due)); size > uplink.MaxMessageBytes || len(due) < 10 || len(due) > uplink.MaxDirectives {
		t.Errorf("%d directives, %d bytes", len(due), size)
	}
}

// A session whose tariff the cloud does not know is an exception, not a guess.
// The journal of the gateway brings back a tariff that the cloud once signed and
// lost with its store: then the session is billed. A tariff that somebody else
// signed prices nothing.
func TestLostTariffComesBackWithTheJournal(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		id := b.charge(visit{wh: 2000})
		b.checkpoint()
		w.must(w.store.Update(ctx, func(tx cloud.Tx) error { // yesterday's store
			return errors.Join(tx.Clear(cloud.KindTariff), tx.Clear(cloud.KindTariffAt))
		}))
		b.sync()
		open, _, err := w.plane.Exceptions(ctx, cloud.ExceptionFilter{Code: ledger.RateTariffMissing, State: cloud.StateOpen}, cloud.Page{})
		if err != nil || len(open) != 1 || open[0].Session != id || open[0].Sentence == "" || open[0].Due <= open[0].Opened {
			t.Errorf("exceptions: %+v, %v", open, err)
		}
		if d, err := w.plane.Session(ctx, id); err != nil || d.Stage != cloud.StageReconciled || d.Amount != nil || len(d.Exceptions) != 1 {
			t.Errorf("session: %+v, %v", d.Session, err)
		}
		// Another version under that name is not what the driver was shown.
		_, err = w.plane.PutTariff(ctx, w.now, cloud.PutTariff{OCPI: []byte(dayTariff)})
		w.must(err)

		own := *b.tariff
		payload, err := statement.EncodeTariff(statement.Tariff{ID: "day", Version: 1, Site: "north", Issued: w.now, OCPI: []byte(dayTariff)})
		w.must(err)
		forged, err := statement.Sign(b.key, rand.Reader, statement.TypTariff, payload)
		w.must(err)
		b.tariff = &record.TariffRef{ID: "day", Version: 1, Hash: sha256.Sum256(forged), Currency: "EUR"}
		cheap := b.charge(visit{wh: 2000})
		installed := func(hash holdfast.Hash, bytes []byte) {
			b.put(record.Record{Body: &record.StatementInstalled{Kind: statement.TypTariff, ID: "day", Version: 1, Hash: hash, Bytes: bytes}})
		}
		installed(b.tariff.Hash, forged)
		b.checkpoint()
		b.sync()
		if cdrs, _, err := w.plane.CDRs(ctx, cloud.CDRFilter{}, cloud.Page{}); err != nil || len(cdrs) != 0 {
			t.Errorf("billed with another tariff: %+v, %v", cdrs, err)
		}
		installed(own.Hash, b.signed)
		b.sync()
		if d, err := w.plane.Session(ctx, id); err != nil || d.Stage != cloud.StageRated || d.Exceptions[0].State != cloud.StateResolved {
			t.Errorf("after its tariff came back: %+v, %v", d, err)
		}
		if d, err := w.plane.Session(ctx, cheap); err != nil || d.Amount != nil {
			t.Errorf("priced with a forged tariff: %+v, %v", d.Session, err)
		}
		before := w.dump()
		w.must(w.plane.Rebuild(ctx))
		if after := w.dump(); after != before {
			t.Error(firstDifference(before, after))
		}
	})
}

// The keys of what was sealed for a driver are destroyed: records stay, verify
// and bill; and a gateway that sends its journal again does not bring them back.
func TestEraseToken(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		tok, err := w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: "04A1B2C3"})
		w.must(err)
		_, err = w.plane.IssueGrant(ctx, w.now, cloud.IssueGrant{Site: "north", Token: "04A1B2C3", Expires: w.now + 3600_000})
		w.must(err)
		id := b.charge(visit{wh: 5000})
		other := b.charge(visit{wh: 5000, token: "someone else"})
		b.checkpoint()
		b.sync()
		start, err := w.plane.RemoteStart(ctx, w.now, "north", uplink.StartBody{Charger: "CP1", Token: "04A1B2C3"}, "test")
		w.must(err)
		keys := func() (kept, erased int) {
			w.must(w.store.View(ctx, func(tx cloud.Tx) error {
				docs, err := tx.List(cloud.KindSealKey, cloud.Query{})
				for _, d := range docs {
					if strings.Contains(string(d.Body), "wrapped") {
						kept++
					} else {
						erased++
					}
				}
				return err
			}))
			return kept, erased
		}
		if kept, _ := keys(); kept != 4 { // the token's own, the start's, two sessions'
			t.Fatalf("%d keys before", kept)
		}
		n, err := w.plane.EraseToken(ctx, w.now, tok.ID, "test")
		if err != nil || n != 3 {
			t.Errorf("erased %d keys, %v", n, err)
		}
		if kept, erased := keys(); kept != 1 || erased != 3 {
			t.Errorf("%d keys kept and %d erased", kept, erased)
		}
		wantError(t, "erasing again", last(w.plane.EraseToken(ctx, w.now, tok.ID, "test")), cloud.ErrNotFound)
		wantError(t, "erasing again by value", last(w.plane.EraseToken(ctx, w.now, "04A1B2C3", "test")), cloud.ErrNotFound)
		due, err := w.plane.Due(ctx, w.now, b.id)
		if err != nil || slices.ContainsFunc(due, func(d uplink.Directive) bool { return d.ID == start }) {
			t.Errorf("a start with an erased token is delivered: %+v, %v", due, err)
		}
		for _, s := range []holdfast.SessionID{id, other} {
			if d, err := w.plane.Session(ctx, s); err != nil || d.Stage != cloud.StageRated || len(d.Evidence) != 3 {
				t.Errorf("session after erasing: %+v, %v", d.Session, err)
			}
		}
		b.hello()
		if l := b.decodedList(t); len(l.Entries) != 0 {
			t.Errorf("still on the list: %+v", l)
		}
		// Nothing that was archived holds a key, and rebuilding brings none back.
		w.must(w.plane.Rebuild(ctx))
		if kept, _ := keys(); kept != 1 {
			t.Errorf("%d keys after a rebuild", kept)
		}
		// A token that the cloud was never told of can be erased by its value.
		if n, err := w.plane.EraseToken(ctx, w.now, "someone else", "test"); err != nil || n != 1 {
			t.Errorf("by value: %d, %v", n, err)
		}
	})
}

func TestPaging(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		var want []holdfast.SessionID
		for range 7 {
			want = append(want, b.charge(visit{wh: 1000}))
		}
		b.checkpoint()
		b.sync()
		for _, oldest := range []bool{true, false} {
			var got []holdfast.SessionID
			for page := (cloud.Page{Limit: 3, Oldest: oldest}); ; {
				list, next, err := w.plane.Sessions(ctx, cloud.SessionFilter{Site: "north", Stage: cloud.StageRated}, page)
				w.must(err)
				for _, s := range list {
					got = append(got, s.ID)
				}
				if page.Cursor = next; next == "" {
					break
				}
			}
			if !oldest {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("oldest first %v: %d sessions in another order", oldest, len(got))
			}
		}
		yes := true
		if list, _, err := w.plane.Sessions(ctx, cloud.SessionFilter{Running: &yes}, cloud.Page{}); err != nil || len(list) != 0 || list == nil {
			t.Errorf("running: %v, %v", list, err)
		}
		for what, n := range map[string]int{
			"by site":    count(w.plane.CDRs(ctx, cloud.CDRFilter{Site: "north", Current: true}, cloud.Page{})),
			"by session": 6 + count(w.plane.CDRs(ctx, cloud.CDRFilter{Session: want[0]}, cloud.Page{})),
			"entries":    3 + count(w.plane.Ledger(ctx, cloud.LedgerFilter{Session: want[0]}, cloud.Page{})),
			"receivable": count(w.plane.Ledger(ctx, cloud.LedgerFilter{Account: "receivable"}, cloud.Page{})),
			"gateways":   6 + count(w.plane.Gateways(ctx, cloud.Page{})),
		} {
			if n != 7 {
				t.Errorf("%s: %d, want 7", what, n)
			}
		}
	})
}

func count[T any](list []T, _ string, err error) int {
	if err != nil {
		return -1
	}
	return len(list)
}

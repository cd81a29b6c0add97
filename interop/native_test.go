package interop

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp1.6/localauth"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	localauth2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/localauth"
	types2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/types"

	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/record"
)

// Cards of the drivers who charge while the gateway is gone, one for each
// charger, and of one who is erased.
const (
	lone16  = "040000000000A1"
	lone201 = "040000000000A2"
	erased  = "040000000000AE"
)

// powered runs a simulated charger with a local list.
func powered(t *testing.T, s *site, id string, v charger.Version) *charger.Charger {
	t.Helper()
	c, err := charger.New(charger.Options{
		URL: chargerURL(s.ocpp), ID: id, Version: v, Password: password, Power: 300_000, LocalList: 40, ListChunk: 4,
		SampleInterval: time.Second, RetryInterval: time.Second, ReconnectMin: 200 * time.Millisecond, ReconnectMax: time.Second, Seed: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return c
}

// own gives a card to this site alone.
func (s *site) own(card, whitelist string) {
	s.t.Helper()
	here.api.must(s.t, http.MethodPost, "/v1/tokens", map[string]any{"value": card, "whitelist": whitelist, "sites": []string{s.name}}, nil)
}

// ready waits until every charger is ready to work alone.
func (s *site) ready(chargers ...string) {
	s.t.Helper()
	s.until("chargers that are ready to work alone", func(r *agent.Report) bool {
		for _, id := range chargers {
			if c, _ := look(r, id); c.Native.Verdict != gateway.NativeReady {
				return false
			}
		}
		return true
	})
}

// TestChargersCopeAlone: a real gateway process prepares real (simulated)
// chargers, dies, and the chargers serve the drivers on their lists and nobody
// else; when it is back what they queued folds in once, and the books agree with
// the meters. A driver who was erased is on no list and in no file.
func TestChargersCopeAlone_C13_E04(t *testing.T) {
	t.Parallel()
	s := newSite(t, "alone", "CP-16", "CS-201")
	s.own(lone16, "ALLOWED_OFFLINE")
	s.own(lone201, "ALLOWED")
	s.own(erased, "ALWAYS")
	s.online()
	fleet := map[string]*charger.Charger{"CP-16": powered(t, s, "CP-16", charger.V16), "CS-201": powered(t, s, "CS-201", charger.V201)}
	cards := map[string]string{"CP-16": lone16, "CS-201": lone201}
	s.ready("CP-16", "CS-201")
	for id, c := range fleet {
		version, list := c.LocalList()
		if version < 1 || list[cards[id]] != "Accepted" || list[erased] != "Accepted" || list[stolen] != "Blocked" {
			t.Errorf("%s: version %d holds %v", id, version, list)
		}
	}

	here.api.must(t, http.MethodPost, "/v1/tokens/erase", map[string]any{"token": erased}, nil)
	eventually(t, "the erased driver to leave the chargers' lists", func() (bool, any) {
		for id, c := range fleet {
			if _, list := c.LocalList(); list[erased] != "" || list[cards[id]] == "" {
				return false, list
			}
		}
		return true, nil
	})

	s.kill()
	var drivers sync.WaitGroup
	for id, c := range fleet {
		drivers.Go(func() { alone(t, c, cards[id]) })
	}
	drivers.Wait()
	s.start()
	for id, c := range fleet {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := c.Settle(ctx); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		cancel()
		truth := c.Truth()
		opened, _ := bodies[*record.SessionOpened](s, id)
		ended := s.in(t).ended(id)
		if len(truth) != 2 || len(opened) != 2 || len(ended) != 2 {
			t.Errorf("%s: %d sessions at the charger, %d opened, %d ended", id, len(truth), len(opened), len(ended))
			continue
		}
		for i, ses := range truth {
			if wh := int64(*ended[i].Stop - *opened[i].Start); wh != ses.EnergyWh || ses.EnergyWh == 0 {
				t.Errorf("%s session %d: %d Wh, the meter says %d", id, i, wh, ses.EnergyWh)
			}
			// 1.6 has no mark for it: a start of this minute may have been asked about.
			if source := opened[i].Source; id == "CS-201" && source != record.StartLocal {
				t.Errorf("%s session %d began by %s, want the charger's own", id, i, source)
			}
		}
	}
	s.until("the end of every session", func(r *agent.Report) bool { return len(r.Sessions) == 0 })
	s.stop()
	s.nowhere(lone16, lone201, erased, cardA)
}

// alone is what drivers do at a charger whose gateway is dead: two sessions of
// one who is on its list, and nobody else's.
func alone(t *testing.T, c *charger.Charger, card string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Lost(ctx); err != nil {
		t.Error(err)
		return
	}
	for range 2 {
		for _, bad := range []string{stranger, stolen, erased, ""} {
			token := bad
			if bad == "" {
				token = card
			}
			if err := c.Plug(1); err != nil {
				t.Error(err)
				return
			}
			ok, why := c.Swipe(t.Context(), 1, token)
			if ok != (bad == "") {
				t.Errorf("%s: a driver was let in %t (%s), want %t", c.ID(), ok, why, bad == "")
			}
			if ok {
				rest := time.NewTimer(1200 * time.Millisecond) // energy takes time
				<-rest.C
			}
			if err := c.Unplug(1); err != nil {
				t.Error(err)
			}
		}
	}
}

// nowhere looks for tokens in clear in every file of a site.
func (s *site) nowhere(tokens ...string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Dir(s.config), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, tok := range tokens {
			if bytes.Contains(b, []byte(tok)) {
				s.t.Errorf("%s holds a token in clear", path)
			}
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "tokens.book")); err != nil {
		s.t.Errorf("the sealed book: %v", err)
	}
}

// A foreignList is the local list of a charger by ocpp-go, whose validators
// judge every message.
type foreignList struct {
	mu      sync.Mutex
	version int
	tokens  []string
}

func (l *foreignList) update(version int, full bool, put, removed []string) (mismatch bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !full && version <= l.version {
		return true
	}
	if full {
		l.tokens = nil
	}
	l.version = version
	l.tokens = slices.DeleteFunc(l.tokens, func(t string) bool { return slices.Contains(removed, t) || slices.Contains(put, t) })
	l.tokens = append(l.tokens, put...)
	return false
}

func (l *foreignList) holds() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(l.tokens)), " ")
}

type list16 struct{ foreignList }

func (l *list16) OnGetLocalListVersion(*localauth.GetLocalListVersionRequest) (*localauth.GetLocalListVersionConfirmation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return localauth.NewGetLocalListVersionConfirmation(l.version), nil
}

func (l *list16) OnSendLocalList(r *localauth.SendLocalListRequest) (*localauth.SendLocalListConfirmation, error) {
	var put, removed []string
	for _, e := range r.LocalAuthorizationList {
		switch {
		case e.IdTagInfo == nil:
			removed = append(removed, e.IdTag)
		case e.IdTagInfo.Status == types.AuthorizationStatusAccepted:
			put = append(put, e.IdTag)
		default:
			put = append(put, e.IdTag+":"+string(e.IdTagInfo.Status))
		}
	}
	if l.update(r.ListVersion, r.UpdateType == localauth.UpdateTypeFull, put, removed) {
		return localauth.NewSendLocalListConfirmation(localauth.UpdateStatusVersionMismatch), nil
	}
	return localauth.NewSendLocalListConfirmation(localauth.UpdateStatusAccepted), nil
}

type list201 struct{ foreignList }

func (l *list201) OnGetLocalListVersion(*localauth2.GetLocalListVersionRequest) (*localauth2.GetLocalListVersionResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return localauth2.NewGetLocalListVersionResponse(l.version), nil
}

func (l *list201) OnSendLocalList(r *localauth2.SendLocalListRequest) (*localauth2.SendLocalListResponse, error) {
	var put, removed []string
	for _, e := range r.LocalAuthorizationList {
		switch {
		case e.IdTokenInfo == nil:
			removed = append(removed, e.IdToken.IdToken)
		case e.IdTokenInfo.Status == types2.AuthorizationStatusAccepted:
			put = append(put, e.IdToken.IdToken)
		default:
			put = append(put, e.IdToken.IdToken+":"+string(e.IdTokenInfo.Status))
		}
	}
	if l.update(r.VersionNumber, r.UpdateType == localauth2.UpdateTypeFull, put, removed) {
		return localauth2.NewSendLocalListResponse(localauth2.SendLocalListStatusVersionMismatch), nil
	}
	return localauth2.NewSendLocalListResponse(localauth2.SendLocalListStatusAccepted), nil
}

// TestForeignChargersGetTheirLists: charge points by ocpp-go, which checks every
// message against the standard, get and change their lists.
func TestForeignChargersGetTheirLists_D01(t *testing.T) {
	t.Parallel()
	s := newSite(t, "lists", "CP-1", "CS-1")
	one, two := &list16{}, &list201{}
	cp := madeChargePoint(t, s, "CP-1", setup{}, localauth.Profile)
	cp.cp.SetLocalAuthListHandler(one)
	cp.connect(cp.cp, s.defaults(setup{}))
	cp.boot()
	cs := madeStation(t, s, "CS-1", setup{}, localauth2.Profile)
	cs.cs.SetLocalAuthListHandler(two)
	cs.connect(cs.cs, s.defaults(setup{}))
	cs.boot()
	want := slices.Clone(listed())
	want[slices.Index(want, stolen)] = stolen + ":Blocked"
	both := func(want []string) {
		slices.Sort(want)
		eventually(t, "the foreign chargers' lists", func() (bool, any) {
			a, b, w := one.holds(), two.holds(), strings.Join(want, " ")
			return a == w && b == w, a + " | " + b
		})
	}
	both(want)
	s.own("040000000000B1", "ALWAYS")
	both(append(want, "040000000000B1"))
}

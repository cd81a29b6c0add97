package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Directive is what was asked of a gateway and what became of it.
type Directive struct {
	ID      string               `json:"id"`
	Gateway holdfast.GatewayID   `json:"gateway"`
	Kind    uplink.DirectiveKind `json:"kind"`
	Queued  holdfast.UnixMilli   `json:"queued"`
	Expires holdfast.UnixMilli   `json:"expires"`           // 0: never
	Outcome string               `json:"outcome,omitempty"` // "" pending; "done", "refused", "expired" as recorded by the gateway; [OutcomeSuperseded], [OutcomeUndelivered]
	Detail  string               `json:"detail,omitempty"`
	Result  json.RawMessage      `json:"result,omitempty"` // what the charger answered, where something was read
	Body    json.RawMessage      `json:"body,omitempty"`   // without any token
}

// Outcomes that the cloud itself gives. A record of the gateway replaces them:
// it knows better.
const (
	OutcomeSuperseded  = "superseded"  // a newer install made it useless
	OutcomeUndelivered = "undelivered" // it expired before the gateway fetched it, as far as the cloud knows
)

// A directiveDoc is what is stored of a directive.
type directiveDoc struct {
	Directive
	Statement []byte `json:"statement,omitempty"`
	Secret    string `json:"secret,omitempty"` // a token's value, sealed: it is put into the body on delivery
}

// DirectiveLifeMillis is how long a command waits for its gateway before it is
// useless: 2 minutes. A driver who pressed a button does not want the charge to
// start tomorrow. Installs never expire.
const DirectiveLifeMillis = 120_000

// MaxPending bounds the commands and grants that wait for one gateway; lists
// and tariffs supersede each other and always find room.
const MaxPending = 4096

// maxDirectiveBytes bounds the directives of one answer as JSON, so that a
// Welcome stays within [uplink.MaxMessageBytes]. One directive always goes.
const maxDirectiveBytes = uplink.MaxMessageBytes - 64<<10

// put writes d with its fields.
func (d directiveDoc) put(tx Tx) error {
	pending := ""
	if d.Outcome == "" {
		pending = "1"
	}
	_, err := put(tx, KindDirective, d.ID, Fields{"gateway": string(d.Gateway), "kind": string(d.Kind), "pending": pending}, d)
	return err
}

// queue gives d an id and stores it.
func (p *Plane) queue(tx Tx, now holdfast.UnixMilli, by string, d directiveDoc) (string, error) {
	if d.Kind == uplink.InstallList || d.Kind == uplink.InstallTariff || d.Kind == uplink.InstallLimits { // one of each at most waits, and it has to get there
		return p.enqueue(tx, now, by, d)
	}
	waiting, err := tx.Count(KindDirective, Fields{"gateway": string(d.Gateway), "pending": "1"})
	if err != nil {
		return "", err
	}
	if waiting >= MaxPending {
		return "", fmt.Errorf("%s to %s: %d directives wait already: %w", d.Kind, d.Gateway, waiting, ErrFull)
	}
	return p.enqueue(tx, now, by, d)
}

func (p *Plane) enqueue(tx Tx, now holdfast.UnixMilli, by string, d directiveDoc) (string, error) {
	random, err := p.randomHex(12)
	if err != nil {
		return "", err
	}
	d.ID, d.Queued = "d-"+random, now
	if _, err := note(tx, now, by, logDirective, d.Directive); err != nil {
		return "", err
	}
	return d.ID, d.put(tx)
}

// supersede closes the pending installs of one kind that say the same thing in
// an older version.
func supersede(tx Tx, gw holdfast.GatewayID, kind uplink.DirectiveKind, same func(directiveDoc) bool) error {
	docs, err := all[directiveDoc](tx, KindDirective, Query{Where: Fields{"gateway": string(gw), "kind": string(kind), "pending": "1"}})
	if err != nil {
		return err
	}
	for _, d := range docs {
		if !same(d) {
			continue
		}
		d.Outcome, d.Statement = OutcomeSuperseded, nil
		if err := d.put(tx); err != nil {
			return err
		}
	}
	return nil
}

// refresh closes what expired, brings the gateway's list up to date and returns
// what is due.
func (p *Plane) refresh(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID) ([]uplink.Directive, error) {
	docs, err := all[directiveDoc](tx, KindDirective, Query{Where: Fields{"gateway": string(gw), "pending": "1"}, Oldest: true})
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		if d.Expires == 0 || now <= d.Expires {
			continue
		}
		d.Outcome, d.Detail = OutcomeUndelivered, "the gateway was not in contact in time"
		if err := d.put(tx); err != nil {
			return nil, err
		}
	}
	if err := p.freshList(tx, now, gw); err != nil {
		return nil, err
	}
	return p.due(tx, now, gw)
}

// due is what is pending and has not expired, oldest first, within the bounds
// of one answer.
func (p *Plane) due(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID) ([]uplink.Directive, error) {
	docs, err := all[directiveDoc](tx, KindDirective, Query{Where: Fields{"gateway": string(gw), "pending": "1"}, Oldest: true})
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d directiveDoc) bool { return d.Expires != 0 && now > d.Expires })
	out, size := []uplink.Directive{}, 0
	for _, d := range docs {
		w := uplink.Directive{ID: d.ID, Kind: d.Kind, Expires: d.Expires, Statement: d.Statement, Body: d.Body}
		if d.Secret != "" {
			if w.Body, err = p.withToken(tx, d); isNotFound(err) {
				continue // the token was erased while it waited
			} else if err != nil {
				return nil, err
			}
		}
		size += len(w.Body) + len(w.Statement)*4/3 + 200
		if len(out) == uplink.MaxDirectives || len(out) > 0 && size > maxDirectiveBytes {
			break
		}
		out = append(out, w)
	}
	return out, nil
}

// withToken is a body with its token in clear, for the wire only.
func (p *Plane) withToken(tx Tx, d directiveDoc) (json.RawMessage, error) {
	var b map[string]json.RawMessage
	if err := json.Unmarshal(d.Body, &b); err != nil {
		return nil, fmt.Errorf("directive %s: %w", d.ID, err)
	}
	value, err := p.unseal(tx, "", d.Secret)
	if err != nil {
		return nil, err
	}
	if b["token"], err = json.Marshal(value); err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// A command is a directive that somebody asks for, to the gateway of a site.
type command struct {
	site  holdfast.SiteID
	kind  uplink.DirectiveKind
	body  any
	token string // a driver's, which is sealed while it waits; the body's member "token" is empty then
}

// command queues a command without a token.
func (p *Plane) command(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, kind uplink.DirectiveKind, body any, by string) (id string, err error) {
	return p.ask(ctx, now, command{site: site, kind: kind, body: body}, by)
}

// ask queues a command.
func (p *Plane) ask(ctx context.Context, now holdfast.UnixMilli, c command, by string) (id string, err error) {
	body, err := json.Marshal(c.body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.kind, err)
	}
	if len(body) > maxBody {
		return "", invalid(string(c.kind), "%d bytes, at most %d", len(body), maxBody)
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		s, err := get[siteDoc](tx, KindSite, string(c.site))
		if err != nil {
			return fmt.Errorf("%s: %w", c.kind, err)
		}
		d := directiveDoc{Directive: Directive{Gateway: s.Gateway, Kind: c.kind, Expires: now + DirectiveLifeMillis, Body: body}}
		if d.Secret, err = p.secret(tx, c.token); err != nil {
			return err
		}
		id, err = p.queue(tx, now, by, d)
		return err
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// secret seals the token of a command, if it has one.
func (p *Plane) secret(tx Tx, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	id, err := p.tokenID(token)
	if err != nil {
		return "", err
	}
	return p.sealed(tx, id, token)
}

// maxBody bounds the body of a command, in bytes.
const maxBody = 64 << 10

// RemoteStart asks a gateway to start a session; it returns the directive's id.
// The outcome comes back as a record. The token is sealed while it waits.
func (p *Plane) RemoteStart(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.StartBody, by string) (string, error) {
	const op = "remote start"
	if err := checkDevice(op, b.Charger); err != nil {
		return "", err
	}
	if err := checkToken(op, b.Token); err != nil {
		return "", err
	}
	if b.EVSE < 0 || len(b.TokenType) > 20 {
		return "", invalid(op, "EVSE %d, token type %q", b.EVSE, clip(b.TokenType))
	}
	value := b.Token
	b.Token = ""
	return p.ask(ctx, now, command{site, uplink.StartSession, b, value}, by)
}

// RemoteStop asks the session's gateway to stop it. [ErrNotFound] for a session
// that the cloud has not heard of.
func (p *Plane) RemoteStop(ctx context.Context, now holdfast.UnixMilli, session holdfast.SessionID, by string) (string, error) {
	return p.ofSession(ctx, now, session, uplink.StopSession, by)
}

// ofSession queues a command about a session for its gateway.
func (p *Plane) ofSession(ctx context.Context, now holdfast.UnixMilli, session holdfast.SessionID, kind uplink.DirectiveKind, by string) (string, error) {
	var site holdfast.SiteID
	err := p.o.Store.View(ctx, func(tx Tx) error {
		s, err := get[Session](tx, KindSession, session.String())
		site = s.Site
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", kind, err)
	}
	return p.command(ctx, now, site, kind, uplink.StopBody{Session: session}, by)
}

// Trigger asks a charger for a message.
func (p *Plane) Trigger(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.TriggerBody, by string) (id string, err error) {
	if err := checkDevice("trigger", b.Charger); err != nil {
		return "", err
	}
	if b.Message == "" || len(b.Message) > maxAction || b.EVSE < 0 {
		return "", invalid("trigger", "message %q of EVSE %d: want an OCPP message name", clip(b.Message), b.EVSE)
	}
	return p.command(ctx, now, site, uplink.TriggerCharger, b, by)
}

// Config reads (b.Keys) or writes (b.Key, b.Value) a charger's configuration.
func (p *Plane) Config(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ConfigBody, by string) (id string, err error) {
	if err := checkDevice("configuration", b.Charger); err != nil {
		return "", err
	}
	if b.Key == "" {
		return p.command(ctx, now, site, uplink.GetConfig, b, by)
	}
	if len(b.Keys) > 0 {
		return "", invalid("configuration", "either keys to read or a key to write")
	}
	if ocpp.SecretKey(b.Key) {
		return "", invalid("configuration", "%s holds a secret, which would lie in the journals: it is set at the charger", clip(b.Key))
	}
	return p.command(ctx, now, site, uplink.SetConfig, b, by)
}

// Data sends a DataTransfer to a charger.
func (p *Plane) Data(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.DataBody, by string) (id string, err error) {
	if err := checkDevice("data transfer", b.Charger); err != nil {
		return "", err
	}
	if b.Vendor == "" || len(b.Vendor) > 255 || len(b.MessageID) > 50 {
		return "", invalid("data transfer", "vendor %q, message %q", clip(b.Vendor), clip(b.MessageID))
	}
	return p.command(ctx, now, site, uplink.SendData, b, by)
}

// Directive returns one directive with its outcome, [ErrNotFound].
func (p *Plane) Directive(ctx context.Context, id string) (d Directive, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		doc, err := get[directiveDoc](tx, KindDirective, id)
		d = doc.Directive
		return err
	})
	return d, err
}

// Directives lists the directives of a site, or of all ("").
func (p *Plane) Directives(ctx context.Context, site holdfast.SiteID, page Page) (list []Directive, next string, err error) {
	gw := ""
	if site != "" {
		err := p.o.Store.View(ctx, func(tx Tx) error {
			s, err := get[siteDoc](tx, KindSite, string(site))
			gw = string(s.Gateway)
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	return paged(ctx, p, KindDirective, Fields{"gateway": gw}, page, func(_ Tx, d Doc) (Directive, error) {
		doc, err := decode[directiveDoc](d)
		return doc.Directive, err
	})
}

package gateway

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// directives carries out what the cloud wants. Each id has one outcome: it is
// delivered until the outcome's record has arrived, and done once.
func (g *Gateway) directives(list []uplink.Directive) {
	for _, d := range list[:min(len(list), uplink.MaxDirectives)] {
		if len(d.ID) == 0 || len(d.ID) > uplink.DirectivePathLimit || slices.Contains(g.state.Done, d.ID) {
			continue
		}
		if g.inFlight(d.ID) {
			continue
		}
		outcome, detail := g.directive(d)
		if outcome != "" {
			g.emit(record.Record{Body: &record.DirectiveDone{ID: d.ID, Outcome: outcome, Detail: clip(detail)}})
		}
	}
}

// inFlight reports whether a directive's command waits for its charger.
func (g *Gateway) inFlight(id string) bool {
	for _, c := range g.conns {
		for _, k := range c.calls {
			if k.directive == id {
				return true
			}
		}
	}
	for _, col := range g.collecting {
		if col.directive == id {
			return true
		}
	}
	return false
}

// directive returns an outcome, or "" when the charger's answer will be it.
func (g *Gateway) directive(d uplink.Directive) (outcome, detail string) {
	switch {
	case g.state.Issued[d.ID]:
		return "unknown", "the gateway restarted before the charger answered; it is not sent again"
	case d.Expires != 0 && g.state.Access.TimeAt(g.now) >= d.Expires:
		return "expired", fmt.Sprintf("expired at %s", d.Expires)
	}
	var err error
	switch d.Kind {
	case uplink.InstallList, uplink.InstallGrant, uplink.InstallTariff, uplink.InstallLimits:
		err = g.install(d)
		if err == nil {
			return "done", ""
		}
	case uplink.StartSession:
		err = g.remoteStart(d)
	case uplink.StopSession:
		err = g.remoteStop(d)
	case uplink.TriggerCharger:
		err = with(d, func(b uplink.TriggerBody) error {
			return g.direct(d, b.Charger, ocpp.Trigger{Message: b.Message, EVSE: b.EVSE})
		})
	case uplink.GetConfig:
		err = with(d, func(b uplink.ConfigBody) error { return g.direct(d, b.Charger, ocpp.GetConfig{Keys: b.Keys}) })
	case uplink.SetConfig:
		err = with(d, func(b uplink.ConfigBody) error {
			return g.direct(d, b.Charger, ocpp.SetConfig{Key: b.Key, Value: b.Value})
		})
	case uplink.SendData:
		err = with(d, func(b uplink.DataBody) error {
			return g.direct(d, b.Charger, ocpp.SendData{Vendor: b.Vendor, MessageID: b.MessageID, Data: b.Data})
		})
	default:
		known := false
		if known, err = g.device(d); known {
			break
		}
		err = fmt.Errorf("this gateway does not know directives of kind %q", clip(string(d.Kind)))
	}
	if err != nil {
		return "refused", err.Error()
	}
	return "", ""
}

// with decodes a directive's body and goes on with it.
func with[B any](d uplink.Directive, do func(B) error) error {
	var b B
	if err := json.Unmarshal(d.Body, &b); err != nil {
		return fmt.Errorf("body of %s: %w", d.Kind, err)
	}
	return do(b)
}

func (g *Gateway) install(d uplink.Directive) error {
	b, err := g.check(d.Kind, d.Statement)
	if err != nil {
		return err
	}
	if prev, ok := g.state.Versions[b.Kind+"/"+b.ID]; ok && prev == b.Version && b.Version != 0 {
		return nil // installed before, under another directive
	}
	g.emit(record.Record{Body: b})
	return nil
}

// direct sends a directive's command to a charger that is there now. A charger
// that is not refuses it: a command that waits for hours helps nobody.
func (g *Gateway) direct(d uplink.Directive, id holdfast.ChargerID, c ocpp.Command) error {
	cn := g.chargers[id]
	if cn == nil {
		return fmt.Errorf("charger %s is not connected", id)
	}
	if !g.command(cn, call{command: c, directive: d.ID}) {
		return fmt.Errorf("charger %s has %d commands waiting", id, MaxCallQueue)
	}
	return nil
}

// remoteStart decides about the driver first: a remote start is a start.
func (g *Gateway) remoteStart(d uplink.Directive) error {
	return with(d, func(b uplink.StartBody) error {
		t := holdfast.Token{Value: b.Token, Type: b.TokenType}
		if len(b.Token) == 0 || len(b.Token) > holdfast.MaxTokenLen {
			return fmt.Errorf("token of %d bytes, want 1 to %d", len(b.Token), holdfast.MaxTokenLen)
		}
		if g.chargers[b.Charger] == nil {
			return fmt.Errorf("charger %s is not connected", b.Charger)
		}
		v := g.judge(b.Charger, b.EVSE, g.hash(t), access.Told{Asked: true})
		if _, auth := g.decided(b.Charger, b.EVSE, t, viaRemote, v); auth.Status != ocpp.AuthAccepted {
			return fmt.Errorf("%s: %s", v.Rule, v.Reason)
		}
		return g.direct(d, b.Charger, ocpp.RemoteStart{EVSE: b.EVSE, Token: t, RemoteID: g.request()})
	})
}

func (g *Gateway) remoteStop(d uplink.Directive) error {
	return with(d, func(b uplink.StopBody) error {
		ses := g.state.Sessions[b.Session]
		if ses == nil || !ses.Running() {
			return fmt.Errorf("session %s is not running", b.Session.Short())
		}
		return g.direct(d, ses.Charger, ocpp.RemoteStop{ID: txID(ses)})
	})
}

package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/tariff"
	"github.com/holdfast-ev/holdfast/uplink"
)

// applyStatement folds an installed statement. The signature was verified
// before the record was written, and the record is in a journal that verifies:
// it is not checked again, so that a gateway whose trust root was rotated can
// still read its own past.
func (s *State) applyStatement(r record.Record, b *record.StatementInstalled) error {
	u, err := statement.Peek(b.Bytes)
	if err != nil {
		return fmt.Errorf("installed %s at %d: %w", b.Kind, r.Seq, err)
	}
	s.Versions[b.Kind+"/"+b.ID] = b.Version
	switch b.Kind {
	case statement.TypList:
		l, err := access.DecodeList(u.Payload)
		if err != nil {
			return err
		}
		return s.Access.InstallList(l.Site, l, r.At)
	case statement.TypGrant:
		g, err := access.DecodeGrant(u.Payload)
		if err != nil {
			return err
		}
		return s.Access.InstallGrant(g.Site, g, r.At)
	case statement.TypLimits:
		s.Power.Schedule = b.Bytes
	case statement.TypTariff:
		t, err := statement.DecodeTariff(u.Payload)
		if err != nil {
			return err
		}
		parsed, err := tariff.Parse(t.OCPI)
		if err != nil {
			return err
		}
		s.Tariff = &TariffNow{
			Ref:   record.TariffRef{ID: t.ID, Version: t.Version, Hash: b.Hash, Currency: parsed.Currency},
			Bytes: b.Bytes,
		}
	}
	return nil
}

// check verifies a statement that the cloud sent and returns the record that
// installs it. The error says in one sentence why it must not be installed;
// what is installed stays in force.
func (g *Gateway) check(kind uplink.DirectiveKind, bytes []byte) (*record.StatementInstalled, error) {
	if g.cfg.StatementKey == nil {
		return nil, fmt.Errorf("no key to verify statements with: enrol the gateway")
	}
	typ, ok := map[uplink.DirectiveKind]string{
		uplink.InstallList:   statement.TypList,
		uplink.InstallGrant:  statement.TypGrant,
		uplink.InstallTariff: statement.TypTariff,
		uplink.InstallLimits: statement.TypLimits,
	}[kind]
	if !ok {
		return nil, fmt.Errorf("%s carries no statement", kind)
	}
	payload, err := statement.Verify(g.cfg.StatementKey, typ, bytes)
	if err != nil {
		return nil, err
	}
	b := &record.StatementInstalled{Kind: typ, Bytes: bytes, Hash: sha(bytes)}
	switch typ {
	case statement.TypList:
		return b, g.checkList(b, payload)
	case statement.TypGrant:
		return b, g.checkGrant(b, payload)
	case statement.TypLimits:
		return b, g.checkLimits(b, payload)
	default:
		return b, g.checkTariff(b, payload)
	}
}

func (g *Gateway) checkList(b *record.StatementInstalled, payload []byte) error {
	l, err := access.DecodeList(payload)
	if err != nil {
		return err
	}
	b.Version = l.Version
	return g.state.Access.CheckList(g.cfg.Site, l)
}

func (g *Gateway) checkGrant(b *record.StatementInstalled, payload []byte) error {
	gr, err := access.DecodeGrant(payload)
	if err != nil {
		return err
	}
	b.ID = gr.ID
	return g.state.Access.CheckGrant(g.cfg.Site, gr, g.now)
}

func (g *Gateway) checkTariff(b *record.StatementInstalled, payload []byte) error {
	t, err := statement.DecodeTariff(payload)
	if err != nil {
		return err
	}
	if t.Site != g.cfg.Site {
		return fmt.Errorf("tariff for site %s, this is %s", t.Site, g.cfg.Site)
	}
	if _, err := tariff.Parse(t.OCPI); err != nil {
		return err
	}
	b.ID, b.Version = t.ID, t.Version
	return g.checkVersion(b)
}

// checkVersion refuses a roll-back (invariant I16).
func (g *Gateway) checkVersion(b *record.StatementInstalled) error {
	if have := g.state.Versions[b.Kind+"/"+b.ID]; b.Version < have {
		return fmt.Errorf("version %d, version %d is installed", b.Version, have)
	}
	return nil
}

package gateway

import (
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// What a charger tells of itself is evidence where a person may have to answer
// for it later, and coalesced by words that are not the charger's to make up.

// securityNews keeps a SecurityEventNotification (A04). A kind that the standard
// does not list shares one count with all such kinds, so that inventing kinds
// fills no disk.
func (g *Gateway) securityNews(m message, ev ocpp.Security) ocpp.Answer {
	critical, listed := ocpp.CriticalSecurity(ev.Kind)
	key := coalesceKey{charger: m.conn.charger, kind: "charger.security/" + ev.Kind}
	if !listed {
		key.kind = "charger.security/"
	}
	g.counters.Security["charger"]++
	g.once(key, record.Record{Charger: m.conn.charger, Body: &record.ChargerSecurity{
		Kind: ev.Kind, Critical: critical, At: ev.At, Detail: ev.Detail,
	}})
	return ocpp.Done{}
}

// progress keeps the steps of a firmware update as evidence; those of a log or a
// publication are telemetry.
func (g *Gateway) progress(m message, ev ocpp.Progress) ocpp.Answer {
	if ev.What != "firmware" {
		g.note(m)
		return ocpp.Done{}
	}
	key := coalesceKey{charger: m.conn.charger, kind: "charger.firmware/" + ev.Status}
	if !ocpp.FirmwareStatus(ev.Status) {
		key.kind = "charger.firmware/"
	}
	g.once(key, record.Record{Charger: m.conn.charger, Body: &record.ChargerFirmware{Status: ev.Status, Request: ev.Request}})
	return ocpp.Done{}
}

// reservationNews keeps what a charger says of a reservation (H01, H02).
func (g *Gateway) reservationNews(m message, ev ocpp.Reservation) ocpp.Answer {
	g.once(coalesceKey{charger: m.conn.charger, kind: "charger.reserved/"}, record.Record{
		Charger: m.conn.charger, Body: &record.ChargerReserved{ID: ev.ID, Status: ev.Status},
	})
	return ocpp.Done{}
}

// reserved keeps a reservation that a directive made or cancelled.
func (g *Gateway) reserved(c *conn, k call) {
	b := &record.ChargerReserved{Count: 1}
	switch cmd := k.command.(type) {
	case ocpp.Reserve:
		b.ID, b.Status, b.EVSE, b.Expires, b.Token = cmd.ID, "Reserved", cmd.EVSE, cmd.Expires, g.hash(cmd.Token)
	case ocpp.CancelReservation:
		b.ID, b.Status = cmd.ID, "Cancelled"
	default:
		return
	}
	g.emit(record.Record{Charger: c.charger, Body: b})
}

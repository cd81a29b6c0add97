package charger

// called answers a CALL of the other side. It runs in the link's reader, so a
// command is carried out before the next frame is read.
func (c *Charger) called(l *link, f frame) {
	c.mu.Lock()
	c.tellLocked(Event{Kind: Ordered, Text: f.action})
	answer, refused := c.d.command(c, f.action, f.payload)
	c.unlock()
	var raw []byte
	var err error
	if refused != nil {
		raw, err = encodeError(f.id, refused)
	} else {
		raw, err = encodeResult(f.id, answer)
	}
	if err != nil {
		c.tell(Event{Kind: Trouble, Text: err.Error()})
		return
	}
	if l.write(raw) != nil {
		return // the link is dead; whoever ordered will see that too
	}
	c.afterwards()
}

// afterwards does what must not happen before the answer to a command is out.
func (c *Charger) afterwards() {
	c.mu.Lock()
	reset, after := c.resetDue, c.after
	c.resetDue, c.after = "", nil
	for _, do := range after {
		do()
	}
	c.unlock()
	if reset != "" {
		c.restart(reset)
	}
}

// remoteStartLocked begins a session on order, now or when a car is plugged in
// (OCPP 1.6 section 5.11; 2.0.1 F01, F02). EVSE 0 means any.
func (c *Charger) remoteStartLocked(id int, token string, remoteID *int) string {
	var e *evse
	for _, x := range c.evses {
		if id == x.id || id == 0 && x.session == nil && (e == nil || x.plugged && !e.plugged) {
			e = x
		}
	}
	switch {
	case e == nil || e.session != nil || token == "":
		return "Rejected"
	case !e.plugged:
		e.invite = &invitation{token: token, remoteID: remoteID}
	default:
		c.after = append(c.after, func() {
			if e.canStart() == nil {
				c.startLocked(e, token, "remote", remoteID)
				c.statusLocked(e)
			}
		})
	}
	return "Accepted"
}

// remoteStopLocked ends the session with the transaction id.
func (c *Charger) remoteStopLocked(id string) string {
	for _, e := range c.evses {
		if s := e.session; s != nil && s.TransactionID == id && id != "" {
			c.after = append(c.after, func() {
				if !s.ended {
					c.stopLocked(s, "Remote")
					c.statusLocked(e)
				}
			})
			return "Accepted"
		}
	}
	return "Rejected"
}

// triggerLocked arranges for the message that TriggerMessage asks for.
func (c *Charger) triggerLocked(what string, id int) string {
	var each func(e *evse)
	switch what {
	case "BootNotification":
		c.after = append(c.after, func() { c.sendLocked(c.d.boot(&c.o, "Triggered")) })
		return "Accepted"
	case "Heartbeat":
		c.after = append(c.after, func() { c.sendLocked(c.d.heartbeat()) })
		return "Accepted"
	case "StatusNotification":
		each = c.statusLocked
	case "MeterValues":
		each = func(e *evse) {
			now := c.o.Now()
			c.sendLocked(c.d.meterValues(c, e, stamp(now.Add(c.clock)), e.meter.shown(now)))
		}
	case "TransactionEvent":
		each = func(e *evse) {
			if e.session != nil {
				c.enqueueLocked(c.o.Now(), e.session, sampled, "Trigger")
			}
		}
	default:
		return "NotImplemented"
	}
	for _, e := range c.evses {
		if id == 0 || id == e.id {
			c.after = append(c.after, func() { each(e) })
		}
	}
	return "Accepted"
}

// sendLocked sends a message that nobody waits for, when there is a link.
func (c *Charger) sendLocked(r request) {
	if l := c.onlineLocked(); l != nil {
		c.laterLocked(l, r)
	}
}

// resetLocked notes that the charger shall restart once its answer is out.
func (c *Charger) resetLocked(why string) { c.resetDue = why }

// restart is an orderly reboot: sessions end with reason Reboot.
func (c *Charger) restart(why string) {
	c.mu.Lock()
	for _, e := range c.evses {
		if e.session != nil {
			c.stopLocked(e.session, "Reboot")
		}
	}
	c.booted, c.why = false, why
	c.unlock()
	c.Cut()
}

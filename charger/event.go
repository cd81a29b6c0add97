package charger

import "time"

// A Kind says what an [Event] is about.
type Kind string

// The kinds of event.
const (
	Connected    Kind = "connected"
	Disconnected Kind = "disconnected"
	Booted       Kind = "booted"     // BootNotification accepted
	PluggedIn    Kind = "plugged"    //
	Unplugged    Kind = "unplugged"  //
	Accepted     Kind = "accepted"   // a driver may charge
	Refused      Kind = "refused"    // a driver may not
	Started      Kind = "started"    // energy flows
	Stopped      Kind = "stopped"    // energy has stopped
	Sent         Kind = "sent"       // a start or stop message was answered
	Repeated     Kind = "repeated"   // a message had no answer and is sent again
	Discarded    Kind = "discarded"  // a message was given up after its last attempt
	Limited      Kind = "limited"    // a charging profile changed the power
	Ordered      Kind = "ordered"    // a command came from the other side
	PowerCycled  Kind = "power_loss" // power was lost and came back
	Trouble      Kind = "trouble"    // something failed that should not
)

// An Event is something that happened at the charger, told as it happens.
type Event struct {
	At      time.Time `json:"at"`
	Charger string    `json:"charger"`
	EVSE    int       `json:"evse,omitempty"`
	Kind    Kind      `json:"kind"`
	Text    string    `json:"text"`              // for people
	Token   string    `json:"token,omitempty"`   //
	Session int       `json:"session,omitempty"` // TruthSession.N
	Wh      int64     `json:"wh,omitempty"`      // register shown, or energy for Stopped
}

// tellLocked remembers e until the lock is released.
func (c *Charger) tellLocked(e Event) {
	e.At, e.Charger = c.o.Now(), c.o.ID
	c.untold = append(c.untold, e)
}

// tell is tellLocked for callers without the lock.
func (c *Charger) tell(e Event) {
	c.mu.Lock()
	c.tellLocked(e)
	c.unlock()
}

// unlock releases the lock and then tells what happened under it, in order.
func (c *Charger) unlock() {
	told := c.untold
	c.untold = nil
	if c.o.OnEvent == nil || len(told) == 0 {
		c.mu.Unlock()
		return
	}
	c.telling.Lock() // taken before mu is released: this is what keeps the order
	c.mu.Unlock()
	defer c.telling.Unlock()
	for _, e := range told {
		c.o.OnEvent(e)
	}
}

package agent

import (
	"net"
	"sync"
)

// spareConnections is how many connections the charger server takes beyond
// what the configured chargers may open, so that somebody who knocks with
// sockets alone cannot use up the process's files.
const spareConnections = 256

// A door is a listener that turns connections away while most are open.
type door struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func newDoor(l net.Listener, most int) *door { return &door{Listener: l, left: most} }

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.take() {
			return &guest{Conn: c, door: d}, nil
		}
		c.Close()
	}
}

func (d *door) take() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return false
	}
	d.left--
	return true
}

// A guest gives its place back when it leaves.
type guest struct {
	net.Conn
	door *door
	once sync.Once
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() {
		g.door.mu.Lock()
		defer g.door.mu.Unlock()
		g.door.left++
	})
	return g.Conn.Close()
}

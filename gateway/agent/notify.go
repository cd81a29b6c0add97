package agent

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notify tells systemd (Type=notify, WatchdogSec=) that the gateway is ready
// and that its core is alive. Without NOTIFY_SOCKET it only logs readiness.
func (a *agent) notify(ctx context.Context) {
	select {
	case <-a.engine.opened:
	case <-ctx.Done():
		return
	}
	a.log.Info("ready", "gateway", string(a.keys.Gateway), "site", string(a.keys.Site), "listening", strings.Join(a.listening, " "))
	a.tell("READY=1")
	defer a.tell("STOPPING=1")
	every := 30 * time.Second
	if us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		every = max(time.Duration(us)*time.Microsecond/2, 100*time.Millisecond)
	}
	pulse := time.NewTicker(every)
	defer pulse.Stop()
	for {
		select {
		case <-pulse.C:
			if a.engine.alive(aliveWithin) {
				a.tell("WATCHDOG=1")
			}
		case <-ctx.Done():
			return
		}
	}
}

// tell sends one message of sd_notify(3).
func (a *agent) tell(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:] // the abstract namespace
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		a.log.Debug("systemd not told", "err", err.Error())
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		a.log.Debug("systemd not told", "err", err.Error())
	}
}

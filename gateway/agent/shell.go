package agent

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A shell is the loop.Shell of one core: it hands effects to those who carry
// them out, and every method returns at once. It belongs to the core's
// goroutine.
type shell struct {
	feed     *feed
	chargers *chargerServer
	link     *cloudLink
	signer   *signer
	cutout   *cutOut
	book     *bookKeeper
	now      []gateway.Input // answers that were known at once
}

// later returns what was answered at once: the core's goroutine must not wait
// for its own queue.
func (s *shell) later() []gateway.Input {
	now := s.now
	s.now = nil
	return now
}

// Send implements loop.Shell.
func (s *shell) Send(e gateway.Send) { s.chargers.send(e.Conn, e.Raw) }

// Close implements loop.Shell.
func (s *shell) Close(e gateway.Close) { s.chargers.close(e.Conn, e.Code, e.Reason) }

// Sign implements loop.Shell.
func (s *shell) Sign(r gateway.SignRequest) {
	if !s.signer.sign(s.feed, r) {
		s.now = append(s.now, gateway.Signed{ID: r.ID, Err: "too many signatures are waiting for the key"})
	}
}

// SignCheckpoint implements loop.Shell.
func (s *shell) SignCheckpoint(origin string, size uint64, root holdfast.Hash) {
	s.signer.checkpoint(s.feed, origin, size, root)
}

// Ask implements loop.Shell.
func (s *shell) Ask(a gateway.Ask) {
	if !s.link.ask(s.feed, a) {
		s.now = append(s.now, gateway.Told{ID: a.ID, Err: "too many questions are waiting for the cloud"})
	}
}

// Route implements loop.Shell.
func (s *shell) Route(r uplink.Route) { s.link.use(r) }

// Probe implements loop.Shell.
func (s *shell) Probe(r uplink.Route) { s.link.probe(s.feed, r) }

// Hello implements loop.Shell.
func (s *shell) Hello(h uplink.Hello) { s.link.hello(s.feed, h) }

// Upload implements loop.Shell.
func (s *shell) Upload(u gateway.Upload, slice []byte) { s.link.upload(s.feed, u, slice) }

// Fetch implements loop.Shell.
func (s *shell) Fetch(f gateway.Fetch) { s.link.fetch(s.feed, f) }

// Book implements loop.Shell.
func (s *shell) Book(r gateway.BookRequest) { s.link.book(s.feed, s.book, r) }

// KeepBook implements loop.Shell.
func (s *shell) KeepBook(b gateway.KeepBook) { s.link.keepBook(s.feed, s.book, b) }

// Output implements loop.Shell.
func (s *shell) Output(o gateway.Output) { s.cutout.output(o) }

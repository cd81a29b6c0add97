package gateway

import (
	"encoding/hex"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// checkpointing decides when the evidence journal is signed.
type checkpointing struct {
	want   bool   // something happened that should be provable soon
	dirty  int    // records since the last one was asked for
	asked  int64  // mono ms of the last request
	signed uint64 // size that the last checkpoint in the stream covers
}

// linkChanged writes a transition. nil changes nothing.
func (g *Gateway) linkChanged(c *uplink.Change) {
	if c == nil {
		return
	}
	g.counters.Transitions[TransitionKey{c.From, c.To, c.Cause}]++
	g.emit(record.Record{Body: &record.LinkChanged{From: c.From, To: c.To, Cause: c.Cause, Detail: clip(c.Detail), Lasted: c.LastedMs}})
	if c.To == holdfast.Syncing {
		g.checkpoint.want = true // the cloud reconciles no further than the last one
		g.checkpoint.asked = g.now.Mono - CheckpointPauseMillis
	}
}

// hello is what opens a contact. Its nonce binds the signed time of the answer.
func (g *Gateway) hello() *uplink.Hello {
	b := g.chance.block()
	g.helloNonce = hex.EncodeToString(b[:16])
	return &uplink.Hello{
		Gateway: g.cfg.Gateway, Boot: g.state.Boot, Software: g.cfg.Software, Now: g.now, Nonce: g.helloNonce, Heads: g.line.Heads(),
	}
}

func (g *Gateway) linkUp(in LinkUp) {
	change, ahead := g.line.Up(g.now.Mono, in.Welcome)
	if ahead != nil {
		g.ready.Restart = &Restart{record.EpochRestored, fmt.Sprintf("the cloud has records of %s epoch %s beyond the %d on this disk", ahead.Journal, ahead.Epoch, ahead.Size)}
		return
	}
	g.signedTime(in.CloudTime)
	g.reached()
	g.linkChanged(change)
	g.directives(in.Welcome.Directives)
	g.settle()
}

// FloorEveryMillis is how often a signed time becomes a record while the link
// works: it proves the access list fresh, and a power cut forgets no more.
const FloorEveryMillis = 1_800_000

// FloorStepMillis is how far signed time must be ahead of the floor to be a
// record at once.
const FloorStepMillis = 60_000

func (g *Gateway) signedTime(t holdfast.UnixMilli) {
	if t == 0 || !g.proves(t) || t <= g.state.Access.Floor(g.now)+FloorStepMillis && g.floorNoted != 0 && g.now.Mono-g.floorNoted < FloorEveryMillis {
		return
	}
	g.floorNoted = g.now.Mono + 1
	g.emit(record.Record{Body: &record.TimeFloorRaised{Floor: t}})
}

func (g *Gateway) uploadDone(in UploadDone) {
	s := uplink.Slot{Journal: in.Journal, Epoch: in.Epoch, First: in.First}
	if in.Mismatch != nil {
		g.line.Mismatched(g.now.Mono, s, *in.Mismatch)
		return
	}
	g.line.Acked(g.now.Mono, s, in.Ack)
	g.directives(in.Ack.Directives)
	g.settle()
}

func (g *Gateway) settle() {
	g.linkChanged(g.line.Settle(g.now.Mono))
	g.settleExposure()
}

// settleExposure notes that the cloud's books know every session that has
// ended: then what they cost is no longer at risk here.
func (g *Gateway) settleExposure() {
	if _, spends := g.state.Access.Held(); spends == 0 || !g.line.Reachable() {
		return
	}
	for _, c := range g.line.Reconciled() {
		if c.Journal == holdfast.Evidence && c.Epoch == g.epoch[holdfast.Evidence] && c.Reconciled > uint64(g.lastEnd) {
			g.emit(record.Record{Body: &record.ExposureSettled{Reconciled: c.Reconciled}})
			return
		}
	}
}

func (g *Gateway) committed(in Committed) {
	g.line.Committed(in.Journal, in.Epoch, in.Size, in.Checkpoint)
	if in.Journal == holdfast.Evidence {
		g.checkpoint.signed = max(g.checkpoint.signed, in.Checkpoint)
		g.journalSize = in.Bytes
	}
}

// CheckpointPauseMillis is the least time between two checkpoints: sessions that
// end in the same second share one, which costs the disk three syncs.
const CheckpointPauseMillis = 1_000

// checkpoints asks for a checkpoint when a session ended or the link came back,
// and at least every [CheckpointEveryMillis] while there is change.
func (g *Gateway) checkpoints() {
	due := g.checkpoint.dirty > 0 && g.now.Mono-g.checkpoint.asked >= CheckpointEveryMillis
	if g.checkpoint.want && g.now.Mono-g.checkpoint.asked >= CheckpointPauseMillis || due {
		g.checkpoint.want, g.checkpoint.dirty, g.checkpoint.asked = false, 0, g.now.Mono
		g.ready.Checkpoint = true
	}
}

// BackupHorizonMillis is how long reconciled evidence is kept all the same: a
// cloud that was restored from a backup of this age can be sent it again.
const BackupHorizonMillis = 30 * dayMillis

// prune gives back the space of what is reconciled: before the older of the two
// snapshots that recovery can begin from, and past the backup horizon. When a
// session finds no room, the horizon gives way.
func (g *Gateway) prune() {
	if len(g.snapshots) < 2 {
		return
	}
	oldest := g.snapshots[len(g.snapshots)-2]
	for _, c := range g.line.Reconciled() {
		if c.Epoch != g.epoch[c.Journal] {
			continue
		}
		before := c.Reconciled
		if c.Journal == holdfast.Evidence {
			before = min(before, oldest)
			if g.room() {
				before = min(before, uint64(g.horizon()))
			}
		}
		g.ready.Prune = append(g.ready.Prune, Prune{c.Journal, c.Epoch, holdfast.Seq(before)})
	}
}

// horizon is the first record of the youngest day that is past the backup
// horizon: everything before it is older still.
func (g *Gateway) horizon() (before holdfast.Seq) {
	for _, m := range g.state.Marks {
		if m.At <= g.state.Access.TimeAt(g.now)-BackupHorizonMillis {
			before = m.Seq
		}
	}
	return before
}

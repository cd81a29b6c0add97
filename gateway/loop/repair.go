package loop

import (
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// MaxRepairBytes bounds the copy of one gap, which is held in memory. It is a
// segment of the largest size and more than fifty of the usual one.
const MaxRepairBytes = journal.MaxSegmentBytes

// mend does to the journals what some inputs come with, and returns what the
// core is to hear of it; nil for nothing. If the process dies between the two,
// recovery finds the journal as it then is and tells the core.
func (l *Loop) mend(in gateway.Input) (gateway.Input, error) {
	switch in := in.(type) {
	case gateway.SegmentDamaged:
		found, err := l.setAside(in.Journal, &journal.Damage{Segment: in.File, Offset: in.Offset, What: in.Detail})
		if found == nil {
			return nil, err
		}
		return *found, err
	case gateway.Fetched:
		return l.putBack(in)
	}
	return in, nil
}

// setAside takes a damaged segment out of a journal. nil without an error means
// that it is no sealed segment of it, or not any more.
func (l *Loop) setAside(j holdfast.Journal, d *journal.Damage) (*gateway.SegmentDamaged, error) {
	q, err := l.logs[j].Quarantine(d)
	if errors.Is(err, journal.ErrFailed) {
		return nil, fmt.Errorf("%s journal: %w", j, err)
	}
	if err != nil {
		return nil, nil
	}
	return &gateway.SegmentDamaged{
		Journal: j, Epoch: q.Epoch, First: q.From, To: q.To, File: q.Name, Offset: q.Offset, Detail: q.What, SetAside: true,
	}, nil
}

// putBack repairs a gap with the cloud's copy. A copy that is not what the
// journal's tree says changes nothing.
func (l *Loop) putBack(in gateway.Fetched) (gateway.Input, error) {
	log := l.logs[in.Journal]
	frames := in.Frames
	in.Frames, in.Gone = nil, !missing(log, in.Fetch)
	if in.Gone || in.Err != "" {
		return in, nil
	}
	err := log.ReplaceSegment(in.Epoch, in.First, frames)
	if errors.Is(err, journal.ErrFailed) {
		return nil, fmt.Errorf("%s journal: %w", in.Journal, err)
	}
	if err != nil {
		in.Err = err.Error()
	}
	return in, nil
}

// missing reports whether anything of a range is missing.
func missing(log *journal.Log, f gateway.Fetch) bool {
	for _, g := range log.Gaps() {
		if g.Epoch == f.Epoch && g.From < f.To && f.First < g.To {
			return true
		}
	}
	return false
}

// gaps compares what recovery found with what the state remembers: what is new
// has to be put on record and alarmed, and what is known and not missing any
// more was repaired or pruned just before the process died.
func (l *Loop) gaps(state *gateway.State, rep *Report) (found, settled []record.SegmentQuarantined) {
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		list := rep.Evidence.Quarantined
		if j == holdfast.Telemetry {
			list = rep.Telemetry.Quarantined
		}
		for _, q := range list {
			if q.Epoch.IsZero() { // the head: it has been written anew
				found = append(found, record.SegmentQuarantined{Journal: j, File: q.Name, Offset: q.Offset, Detail: q.What, Repair: record.RepairNone})
			}
		}
		for _, g := range l.logs[j].Gaps() {
			if state.Missing(j, g.Epoch, g.From, g.To) == nil {
				found = append(found, describe(j, g, list))
			}
		}
	}
	for _, k := range state.Gaps {
		if q, ok := l.settled(k); ok {
			settled = append(settled, q)
		}
	}
	return found, settled
}

// describe names a gap with the damage that made it, if this recovery saw it.
func describe(j holdfast.Journal, g journal.MissingError, list []journal.Quarantined) record.SegmentQuarantined {
	out := record.SegmentQuarantined{Journal: j, Epoch: g.Epoch, First: g.From, To: g.To, Detail: "segment is missing", Repair: record.RepairPending}
	for _, q := range list {
		if q.Epoch == g.Epoch && g.From <= q.From && q.From < g.To && (out.File == "" || q.Name != "") {
			out.File, out.Offset, out.Detail = q.Name, q.Offset, q.What
		}
	}
	return out
}

// settled says what became of a remembered gap that is none any more.
func (l *Loop) settled(k gateway.Gap) (q record.SegmentQuarantined, ok bool) {
	log := l.logs[k.Journal]
	if missing(log, gateway.Fetch{Epoch: k.Epoch, First: k.First, To: k.To}) {
		return q, false
	}
	q = record.SegmentQuarantined{Journal: k.Journal, Epoch: k.Epoch, File: k.File, Offset: k.Offset, First: k.First, To: k.To,
		Detail: "given up with what the cloud has reconciled", Repair: record.RepairPruned}
	for _, e := range log.Epochs() {
		if e.Epoch == k.Epoch && e.First <= k.First {
			q.Detail, q.Repair = "the cloud's copy was put back before the last stop", record.RepairCloud
		}
	}
	return q, true
}

package cloud

import (
	"context"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A sliceDoc says where the archive holds the records from First on.
type sliceDoc struct {
	First   holdfast.Seq `json:"first"`
	Records int          `json:"records"`
	Bytes   int          `json:"bytes"`
	Archive string       `json:"archive"`
}

// maxCopied bounds the archived slices that one [Plane.Copy] reads. A gateway
// that is online sends small ones.
const maxCopied = 1024

// index notes where a slice's records are archived.
func (f *fold) index(st *stream, s *slice) error {
	if s.Records == 0 {
		return nil
	}
	stream, at := streamKey(st.Gateway, st.Journal, st.Epoch), seqKey(s.First)
	_, err := put(f.tx, KindSlice, key(stream, at), Fields{"stream": stream, "at": at},
		sliceDoc{First: s.First, Records: s.Records, Bytes: s.Bytes, Archive: s.Archive})
	return err
}

// seqKey is a position as a field that sorts.
func seqKey(s holdfast.Seq) string { return fmt.Sprintf("%016x", uint64(s)) }

// Copy returns what the archive holds of a gateway's own records [first, to):
// frames as they were sent, byte for byte, but without key frames, which are
// not archived. It ends early, after at least one record, at
// [uplink.MaxSliceBytes], and where the next record was not received: the caller
// asks again from there. [ErrNotFound] when record first was not received,
// [ErrInvalid] for no range.
//
// A gateway repairs its journal with it. What it gets it believes only if the
// records lead from the tree before its gap to the tree behind it, so a copy
// needs no signature of its own.
func (p *Plane) Copy(ctx context.Context, gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch, first, to holdfast.Seq) (frames []byte, err error) {
	if first >= to || to > maxSeq {
		return nil, invalid("copy", "records %d to %d", first, to)
	}
	var list []sliceDoc
	err = p.o.Store.View(ctx, func(tx Tx) error {
		list, err = archived(tx, streamKey(gw, j, e), first, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy %s %s %s: %w", gw, j, e, err)
	}
	next := first
	for i, d := range list {
		if d.First > next { // telemetry that the gateway had dropped
			break
		}
		b, err := p.o.Archive.Get(ctx, d.Archive)
		if err != nil {
			return nil, fmt.Errorf("copy %s: %w", d.Archive, err)
		}
		more, err := d.cut(b, next, to, uplink.MaxSliceBytes-len(frames), i > 0)
		if err != nil {
			return nil, fmt.Errorf("copy %s: %w", d.Archive, err)
		}
		frames = append(frames, more...)
		if next = d.First + holdfast.Seq(d.Records); len(more) == 0 || len(frames) >= uplink.MaxSliceBytes/2 {
			break
		}
	}
	return frames, nil
}

// archived lists the slices that hold the records from first on.
func archived(tx Tx, stream string, first, to holdfast.Seq) (list []sliceDoc, err error) {
	where := Fields{"stream": stream}
	doc, _, err := tx.Beside(KindSlice, where, "at", seqKey(first+1))
	if err != nil {
		return nil, err
	}
	for bytes := 0; doc != nil && len(list) < maxCopied && bytes < uplink.MaxSliceBytes; {
		d, err := decode[sliceDoc](*doc)
		if err != nil {
			return nil, err
		}
		if d.First >= to {
			break
		}
		list, bytes = append(list, d), bytes+d.Bytes
		if _, doc, err = tx.Beside(KindSlice, where, "at", seqKey(d.First)); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 || list[0].First+holdfast.Seq(list[0].Records) <= first {
		return nil, fmt.Errorf("record %d: %w", first, ErrNotFound)
	}
	return list, nil
}

// cut returns the frames of a slice b from record first on (or from the slice's
// beginning) and before record to: whole frames, at most so many bytes.
func (d sliceDoc) cut(b []byte, first, to holdfast.Seq, most int, whole bool) ([]byte, error) {
	frames, err := journal.ParseSlice(b, d.First)
	if err != nil {
		return nil, err
	}
	from, end := -1, 0
	if whole {
		from = 0
	}
	for off, next := 0, d.First; len(frames) > 0; frames = frames[1:] {
		size := frameOverhead + len(frames[0].Body)
		if frames[0].Kind == journal.Record {
			if next >= to {
				break
			}
			if next >= first && from < 0 {
				from = off
			}
			next++
		}
		if from >= 0 && off+size-from > most {
			break
		}
		off += size
		end = off
	}
	if from < 0 {
		return nil, nil
	}
	return b[from:max(from, end)], nil
}

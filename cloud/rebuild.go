package cloud

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// rebuildStep is how many entries of the cloud's journal are read at a time.
const rebuildStep = 256

// Rebuild drops every fold (records, cursors, sessions, CDRs, ledger,
// exceptions) and folds the archive again, entry by entry of the cloud's
// journal: in the order, and with the knowledge of each moment, in which it was
// folded first. The result is the same, row for row. It runs in one transaction
// and uploads wait for it.
func (p *Plane) Rebuild(ctx context.Context) error {
	return p.o.Store.Update(ctx, func(tx Tx) error {
		if err := drop(tx); err != nil {
			return err
		}
		for after := uint64(0); ; {
			entries, err := tx.ReadLog(after, rebuildStep)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return nil
			}
			for _, e := range entries {
				if err := p.replay(ctx, tx, e); err != nil {
					return fmt.Errorf("rebuild: entry %d (%s): %w", e.N, e.Kind, err)
				}
				after = e.N
			}
		}
	})
}

func drop(tx Tx) error {
	for _, k := range []Kind{KindStream, KindCheckpoint, KindSlice, KindSession, KindPlace, KindCDR, KindEntry, KindException, KindBalance, KindTotal} {
		if err := tx.Clear(k); err != nil {
			return err
		}
	}
	return tx.ClearRecords()
}

// replay folds one entry. Entries that are no evidence changed tables that were
// not dropped.
func (p *Plane) replay(ctx context.Context, tx Tx, e LogEntry) error {
	switch e.Kind {
	case logSlice, logRefused:
		return p.replaySlice(ctx, tx, e)
	case logSkipped:
		var k skip
		if err := json.Unmarshal(e.Body, &k); err != nil {
			return err
		}
		s, err := streamAt(tx, k.Gateway, holdfast.Telemetry, k.Epoch)
		if err != nil {
			return err
		}
		return k.apply(tx, &s)
	}
	return nil
}

func (p *Plane) replaySlice(ctx context.Context, tx Tx, e LogEntry) error {
	var noted slice
	if err := json.Unmarshal(e.Body, &noted); err != nil {
		return err
	}
	f, err := p.newFold(tx, e.At, e.N, noted.Gateway)
	if err != nil {
		return err
	}
	if e.Kind == logRefused {
		return f.refused(&noted)
	}
	b, err := p.o.Archive.Get(ctx, noted.Archive)
	if err != nil {
		return err
	}
	s, err := readSlice(noted.Gateway, noted.Journal, noted.Epoch, noted.First, b)
	if err != nil {
		return fmt.Errorf("archived slice %s: %w", noted.Archive, err)
	}
	if s.Archive != noted.Archive {
		return fmt.Errorf("archived slice %s has other bytes than were received: its name should be %s", noted.Archive, s.Archive)
	}
	st, j, err := f.examine(s)
	if err != nil {
		return fmt.Errorf("archived slice %s: %w", noted.Archive, err)
	}
	f.begin()
	if _, err := f.slice(s, st, j); err != nil {
		return err
	}
	return f.desk.flush()
}

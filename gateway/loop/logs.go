package loop

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
)

// Log returns one of the journals, for reading between turns.
func (l *Loop) Log(j holdfast.Journal) *journal.Log { return l.logs[j] }

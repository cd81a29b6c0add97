package gateway

import (
	"github.com/holdfast-ev/holdfast/record"
)

// NativeState is what is known for good of how a charger copes alone: the last
// record of each kind.
type NativeState struct {
	Readiness *record.ChargerReadiness `json:"readiness,omitempty"`
	List      *record.ChargerList      `json:"list,omitempty"`
}

// applyNative folds what is known of a charger's own settings and list.
func (s *State) applyNative(r record.Record) {
	c := s.charger(r.Charger)
	if c.Native == nil {
		c.Native = &NativeState{}
	}
	switch b := r.Body.(type) {
	case *record.ChargerReadiness:
		c.Native.Readiness = b
	case *record.ChargerList:
		c.Native.List = b
	}
}

// native returns what is known of a charger's own settings; never nil.
func (c *Charger) native() *NativeState {
	if c == nil || c.Native == nil {
		return &NativeState{}
	}
	return c.Native
}

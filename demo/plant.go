package demo

import "fmt"

// The mistakes that Plant can make.
const (
	PlantDouble = "double-bill"    // one session is billed a second time, under another id
	PlantDrop   = "dropped-record" // one session has vanished with all that was made of it
)

// Plant spoils books on purpose, to show that the check finds it.
func (b *Books) Plant(mistake string) error {
	if len(b.CDRs) == 0 || len(b.Sessions) == 0 {
		return fmt.Errorf("plant %s: the books are empty", mistake)
	}
	switch mistake {
	case PlantDouble:
		b.double(b.CDRs[0])
	case PlantDrop:
		b.drop(b.Sessions[len(b.Sessions)-1].ID)
	default:
		return fmt.Errorf("plant %q: want %s or %s", mistake, PlantDouble, PlantDrop)
	}
	return nil
}

// double bills c's session again: a session, a bill and a booking that are each
// consistent in themselves, as a retry without a stable identity makes them.
func (b *Books) double(c BookCDR) {
	again := "again-" + c.Session
	for _, s := range b.Sessions {
		if s.ID == c.Session {
			s.ID = again
			b.Sessions = append(b.Sessions, s)
			break
		}
	}
	for _, e := range b.Entries {
		if e.Session == c.Session {
			e.Key, e.Booking, e.Session = "again-"+e.Key, "again-"+e.Booking, again
			b.Entries = append(b.Entries, e)
		}
	}
	c.ID, c.Session = "again-"+c.ID, again
	b.CDRs = append(b.CDRs, c)
}

// drop removes a session, its bills and its postings, as if its records had
// never arrived.
func (b *Books) drop(id string) {
	b.Sessions = without(b.Sessions, func(s BookSession) bool { return s.ID == id })
	b.CDRs = without(b.CDRs, func(c BookCDR) bool { return c.Session == id })
	b.Entries = without(b.Entries, func(e BookEntry) bool { return e.Session == id })
	b.Exceptions = without(b.Exceptions, func(e BookException) bool { return e.Session == id })
}

func without[T any](list []T, drop func(T) bool) []T {
	kept := make([]T, 0, len(list))
	for _, v := range list {
		if !drop(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

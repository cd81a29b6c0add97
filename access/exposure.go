package access

import "github.com/holdfast-ev/holdfast"

// held is the money at risk in one session, running or ended.
type held struct {
	Token  holdfast.TokenHash `json:"token"`
	Amount holdfast.Micros    `json:"amount"` // reservation: worst case; spend: cost
	Spent  bool               `json:"spent,omitempty"`
}

// exposure keeps what is held under each key, and the sums of it, which always
// equal what is held: they are not stored but added up again.
type exposure struct {
	held   map[uint64]held
	tokens map[holdfast.TokenHash]holdfast.Micros
	site   holdfast.Micros
}

func newExposure(of map[uint64]held) exposure {
	e := exposure{held: make(map[uint64]held, len(of)), tokens: map[holdfast.TokenHash]holdfast.Micros{}}
	for key, h := range of {
		e.put(key, h)
	}
	return e
}

// put adds h under key, which must be free. Amounts are cut to 0..MaxAmount, so
// that MaxHeld of them and more add up without overflow.
func (e *exposure) put(key uint64, h held) {
	h.Amount = min(max(h.Amount, 0), MaxAmount)
	e.held[key] = h
	e.tokens[h.Token] += h.Amount
	e.site += h.Amount
}

// take removes what is held under key.
func (e *exposure) take(key uint64) (held, bool) {
	h, ok := e.held[key]
	if !ok {
		return held{}, false
	}
	delete(e.held, key)
	e.site -= h.Amount
	if e.tokens[h.Token] -= h.Amount; e.tokens[h.Token] == 0 {
		delete(e.tokens, h.Token)
	}
	return h, true
}

// Reserve holds amount, the worst case of a session of token, under key. It
// records a fact and so does not look at caps: [State.Decide] did, and a
// session that a charger began on its own exposes money whatever the caps say.
// A key that is in use changes nothing and returns false.
func (s *State) Reserve(key uint64, token holdfast.TokenHash, amount holdfast.Micros) bool {
	if _, taken := s.money.held[key]; taken {
		return false
	}
	s.money.put(key, held{Token: token, Amount: amount})
	return true
}

// Release gives a reservation back: no session began, or it cost nothing. It
// returns false when key holds no reservation, and changes nothing then.
func (s *State) Release(key uint64) bool {
	if h, ok := s.money.held[key]; !ok || h.Spent {
		return false
	}
	s.money.take(key)
	return true
}

// Spend turns a reservation into the session's cost, which stays at risk until
// it is settled. It returns false when key holds no reservation (it was spent
// or released before), and changes nothing then. A session without cost leaves
// nothing behind.
func (s *State) Spend(key uint64, cost holdfast.Micros) bool {
	h, ok := s.money.held[key]
	if !ok || h.Spent {
		return false
	}
	s.money.take(key)
	if cost > 0 {
		s.money.put(key, held{Token: h.Token, Amount: cost, Spent: true})
	}
	return true
}

// Settle clears the spend under key: the cloud has reconciled the session, so
// its books know the debt and its lists and grants answer for it. It returns
// false when key holds no spend; a reservation is left alone.
func (s *State) Settle(key uint64) bool {
	if h, ok := s.money.held[key]; !ok || !h.Spent {
		return false
	}
	s.money.take(key)
	return true
}

// SettleAll clears every spend: the link is SYNCED, all that ended is
// reconciled. Reservations of running sessions stay.
func (s *State) SettleAll() {
	for key, h := range s.money.held {
		if h.Spent {
			s.money.take(key)
		}
	}
}

// Exposure is the site's money at risk now, reservations and spends.
func (s *State) Exposure() holdfast.Micros { return s.money.site }

// TokenExposure is the share of one token.
func (s *State) TokenExposure(token holdfast.TokenHash) holdfast.Micros {
	return s.money.tokens[token]
}

// Held is how many reservations and spends are held.
func (s *State) Held() (reservations, spends int) {
	for _, h := range s.money.held {
		if h.Spent {
			spends++
		}
	}
	return len(s.money.held) - spends, spends
}

package cloud

import (
	"context"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
)

// An Exception is a case for a person.
type Exception struct {
	ID       string             `json:"id"`
	Code     string             `json:"code"`
	State    string             `json:"state"` // [StateOpen] or [StateResolved]
	Site     holdfast.SiteID    `json:"site"`
	Gateway  holdfast.GatewayID `json:"gateway"`
	Session  holdfast.SessionID `json:"session,omitzero"`
	Sentence string             `json:"sentence"`
	Detail   string             `json:"detail"`
	Owner    ledger.Owner       `json:"owner"`
	Blocks   bool               `json:"blocks"` // nothing is billed until it is decided
	Opened   holdfast.UnixMilli `json:"opened"` // by the cloud's clock
	Due      holdfast.UnixMilli `json:"due"`
	Resolved holdfast.UnixMilli `json:"resolved,omitempty"`
	Evidence []holdfast.Pos     `json:"evidence"`
	Archive  string             `json:"archive,omitempty"` // bytes that were set aside
	Range    *Range             `json:"range,omitempty"`   // records that the gateway could not read
}

// The states of an exception. One that later evidence answered is resolved; it
// is never deleted.
const (
	StateOpen     = "open"
	StateResolved = "resolved"
)

// The codes that the cloud itself raises, beside those of package ledger.
const (
	CodeFork       = ledger.EvidFork   // another record at a known position, another root for a known size
	CodeChainGap   = "EVID_CHAIN_GAP"  // a signed root that the records do not have
	CodeSignature  = "EVID_SIGNATURE"  // a checkpoint that the gateway's keys did not sign, or of another journal
	CodeFrame      = "EVID_FRAME"      // bytes that are no slice
	CodeUnreadable = "EVID_UNREADABLE" // a record that this version does not decode
)

// exceptionAt is a case about one position. What is found there again is the
// same case.
func exceptionAt(code string, at holdfast.Pos, detail string) Exception {
	return Exception{ID: key("at", code, at.String()), Code: code, Gateway: at.Gateway, Detail: detail, Evidence: []holdfast.Pos{at}}
}

// exceptionKey names the case that a refused slice makes: one for each epoch
// and code.
func (s *slice) exceptionKey() string {
	return key("stream", s.Code, streamKey(s.Gateway, s.Journal, s.Epoch))
}

// refused raises the exception for a slice that was refused.
func (f *fold) refused(s *slice) error {
	st := stream{Gateway: s.Gateway, Journal: s.Journal, Epoch: s.Epoch}
	x := exceptionAt(s.Code, st.pos(s.First), s.Detail)
	x.ID, x.Archive = s.exceptionKey(), s.Archive
	return f.raise(x)
}

// raise opens a case that is not about a session, unless it is known.
func (f *fold) raise(x Exception) error {
	if _, err := f.tx.Get(KindException, x.ID); !isNotFound(err) {
		return err
	}
	k, _ := ledger.KindOf(x.Code)
	x.State, x.Site, x.Gateway, x.Opened = StateOpen, f.gw.Site, f.gw.ID, f.now
	x.Sentence, x.Owner, x.Blocks, x.Due = k.Sentence, k.Owner, k.Blocks, f.now+holdfast.UnixMilli(k.DueHours*3600_000)
	return x.put(f.tx)
}

func (x Exception) put(tx Tx) error {
	session := ""
	if !x.Session.IsZero() {
		session = x.Session.String()
	}
	_, err := put(tx, KindException, x.ID, Fields{"site": string(x.Site), "session": session, "code": x.Code, "state": x.State}, x)
	return err
}

// exceptions brings a session's cases to what want says, and returns the codes
// of those that are open. A case that comes back is the same case: it keeps the
// time of its first opening.
func (f *fold) exceptions(site holdfast.SiteID, gw holdfast.GatewayID, id holdfast.SessionID, want []ledger.Exception) (codes []string, err error) {
	have, err := all[Exception](f.tx, KindException, Query{Where: Fields{"session": id.String()}, Oldest: true})
	if err != nil {
		return nil, err
	}
	codes = []string{}
	for _, w := range want {
		w.Session = id
		x := Exception{
			ID: w.Key(), Code: w.Code, State: StateOpen, Site: site, Gateway: gw, Session: id, Sentence: w.Sentence, Detail: w.Detail(),
			Owner: w.Owner, Blocks: w.Blocks, Opened: f.now, Evidence: w.Evidence,
		}
		if i := slices.IndexFunc(have, func(h Exception) bool { return h.ID == x.ID }); i >= 0 {
			x.Opened = have[i].Opened
			have = slices.Delete(have, i, i+1)
		}
		x.Due = x.Opened + holdfast.UnixMilli(w.DueS*1000)
		if err := x.put(f.tx); err != nil {
			return nil, err
		}
		codes = append(codes, x.Code)
	}
	for _, x := range have {
		if x.State != StateOpen {
			continue
		}
		x.State, x.Resolved = StateResolved, f.now
		if err := x.put(f.tx); err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// An ExceptionFilter narrows a list of exceptions.
type ExceptionFilter struct {
	Site  holdfast.SiteID
	Code  string
	State string // "open", "resolved", "" both
}

// Exceptions lists exceptions.
func (p *Plane) Exceptions(ctx context.Context, f ExceptionFilter, page Page) (list []Exception, next string, err error) {
	where := Fields{"site": string(f.Site), "code": f.Code, "state": f.State}
	return paged(ctx, p, KindException, where, page, asStored[Exception])
}

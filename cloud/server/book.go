package server

import (
	"context"

	"github.com/holdfast-ev/holdfast/uplink"
)

// book gives a gateway the tokens of its own site in clear. It shares the slots
// of uploads: opening a page of seals costs as much as a slice. The answer is
// never cached and never logged; holdfast_requests_total{call="tokens"} counts
// it.
func (s *Server) book(ctx context.Context, c *call, _ none) (uplink.TokenBook, error) {
	if err := s.enter(); err != nil {
		return uplink.TokenBook{}, err
	}
	defer s.uploads.leave()
	q, err := c.params()
	if err != nil {
		return uplink.TokenBook{}, err
	}
	version, err := sequence("version", q.Get("version"))
	if err != nil {
		return uplink.TokenBook{}, err
	}
	after := q.Get("after")
	if after == "" {
		after = "0"
	}
	from, err := sequence("after", after)
	if err != nil {
		return uplink.TokenBook{}, err
	}
	return s.plane.Book(ctx, c.now, c.gateway, uint64(version), uint64(from))
}

package server

import (
	"context"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/power"
)

func exampleLimits() cloud.PutLimits {
	return cloud.PutLimits{After: 20_000, Periods: []power.Period{{From: 1_800_000_000_000, To: 1_800_003_600_000, Limit: 40_000}}}
}

func (s *Server) limits(ctx context.Context, c *call, _ none) (cloud.SiteLimits, error) {
	id, err := c.site()
	if err != nil {
		return cloud.SiteLimits{}, err
	}
	return s.plane.Limits(ctx, id)
}

func (s *Server) putLimits(ctx context.Context, c *call, in cloud.PutLimits) (cloud.SiteLimits, error) {
	id, err := c.site()
	if err != nil {
		return cloud.SiteLimits{}, err
	}
	in.By = operatorName
	out, err := s.plane.PutLimits(ctx, c.now, id, in)
	return out, s.ringSites(ctx, err, []holdfast.SiteID{id})
}

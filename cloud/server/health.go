package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// Health answers /healthz and /readyz.
type Health struct {
	Status string `json:"status"`
}

// health says that the process lives: a supervisor restarts it when this fails.
func (s *Server) health(context.Context, *call, none) (Health, error) {
	return Health{"ok"}, nil
}

// ready says that calls will be served: the store answers and nobody is closing.
// A load balancer sends nothing while this fails.
func (s *Server) ready(ctx context.Context, _ *call, _ none) (Health, error) {
	select {
	case <-s.stopping:
		return Health{}, kindBusy.because("the cloud is stopping").later(later())
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if _, err := s.plane.Totals(ctx); err != nil {
		s.log.Error("not ready", "err", err.Error())
		return Health{}, kindBusy.because("the store does not answer").later(later())
	}
	return Health{"ready"}, nil
}

// fleet is a collector that reads the plane at each scrape, so that a metric
// cannot disagree with the books.
type fleet struct{ s *Server }

var (
	descLink = prometheus.NewDesc("holdfast_link_state",
		"1 for the state that a site's link is in, as the cloud sees it; a site that was never seen has no 1.", []string{"site", "state"}, nil)
	descBacklog = prometheus.NewDesc("holdfast_backlog_records",
		"Evidence records that a site's gateway announced and the cloud has not received.", []string{"site"}, nil)
	descSeen = prometheus.NewDesc("holdfast_last_contact_timestamp_seconds",
		"When a site's gateway was last heard; absent when never.", []string{"site"}, nil)
	descRecords = prometheus.NewDesc("holdfast_journal_records",
		"Evidence records received.", nil, nil)
	descEnergy = prometheus.NewDesc("holdfast_energy_delivered_joules_total",
		"Energy metered in ended sessions.", nil, nil)
	descSessions = prometheus.NewDesc("holdfast_sessions",
		"Sessions known, by whether they run.", []string{"running"}, nil)
	descCDRs = prometheus.NewDesc("holdfast_cdrs",
		"Current charge detail records.", nil, nil)
	descExceptions = prometheus.NewDesc("holdfast_exceptions_open",
		"Open exceptions, by code.", []string{"code"}, nil)
	descLinks = prometheus.NewDesc("holdfast_links",
		"Gateways with a live WebSocket.", nil, nil)
)

// maxScrapedSites bounds the label values of a scrape: beyond it a fleet is
// watched through the API, not through one series per site.
const maxScrapedSites = 5_000

// Describe implements prometheus.Collector.
func (f *fleet) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLink, descBacklog, descSeen, descRecords, descEnergy,
		descSessions, descCDRs, descExceptions, descLinks} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *fleet) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout/2)
	defer cancel()
	ch <- gauge(descLinks, float64(f.s.links.count()))
	t, err := f.s.plane.Totals(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descRecords, err)
		return
	}
	ch <- gauge(descRecords, float64(t.Records))
	ch <- prometheus.MustNewConstMetric(descEnergy, prometheus.CounterValue, t.Energy.Joules())
	ch <- gauge(descSessions, float64(t.Running), "true")
	ch <- gauge(descSessions, float64(t.Sessions-t.Running), "false")
	ch <- gauge(descCDRs, float64(t.CDRs))
	for code, n := range t.OpenExceptions {
		ch <- gauge(descExceptions, float64(n), code)
	}
	f.collectSites(ctx, ch)
}

func (f *fleet) collectSites(ctx context.Context, ch chan<- prometheus.Metric) {
	now := f.s.now()
	page := cloud.Page{Limit: cloud.MaxPage}
	for seen := 0; seen < maxScrapedSites; {
		sites, next, err := f.s.plane.Sites(ctx, page)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(descLink, err)
			return
		}
		for _, site := range sites {
			collectSite(ch, site, now)
		}
		if seen += len(sites); next == "" {
			return
		}
		page.Cursor = next
	}
}

func collectSite(ch chan<- prometheus.Metric, site cloud.Site, now holdfast.UnixMilli) {
	is := site.Contact.LinkAt(now)
	for _, state := range []holdfast.LinkState{holdfast.Online, holdfast.Offline, holdfast.Syncing, holdfast.Synced} {
		v := 0.0
		if state == is {
			v = 1
		}
		ch <- gauge(descLink, v, string(site.ID), string(state))
	}
	ch <- gauge(descBacklog, float64(site.Contact.Backlog), string(site.ID))
	if site.Contact.Seen != 0 {
		ch <- gauge(descSeen, float64(site.Contact.Seen)/1000, string(site.ID))
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

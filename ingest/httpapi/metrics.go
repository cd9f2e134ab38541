package httpapi

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// serverMetrics are the listener's own metrics. Of the ledger it counts
// received, accepted, rejected and duplicate: once per request, when the
// outcome is known. A request that is refused as a whole received nothing.
type serverMetrics struct {
	byStatus map[int]*metrics.Counter
	other    *metrics.Counter

	bodyBytes, panics                  *metrics.Counter
	refused, brokenConns, acceptErrors *metrics.Counter

	received, accepted, rejected, duplicate *metrics.Counter
	byCode                                  []*metrics.Counter // by event.Code
	partialRefused                          *metrics.Counter
	nulls, skipped                          *metrics.Counter

	read, decode, delay *metrics.PrometheusHistogram
}

// newServerMetrics registers the metrics of s in set.
func newServerMetrics(set *metrics.Set, s *Server) *serverMetrics {
	m := &serverMetrics{
		byStatus:     map[int]*metrics.Counter{},
		other:        set.NewCounter(`penstock_http_requests_total{code="other"}`),
		bodyBytes:    set.NewCounter(`penstock_http_request_body_bytes_total`),
		panics:       set.NewCounter(`penstock_http_panics_total`),
		refused:      set.NewCounter(`penstock_http_connections_refused_total`),
		brokenConns:  set.NewCounter(`penstock_http_connections_broken_total`),
		acceptErrors: set.NewCounter(`penstock_http_accept_errors_total`),

		received:  set.NewCounter(`penstock_events_total{outcome="received"}`),
		accepted:  set.NewCounter(`penstock_events_total{outcome="accepted"}`),
		rejected:  set.NewCounter(`penstock_events_total{outcome="rejected"}`),
		duplicate: set.NewCounter(`penstock_events_total{outcome="duplicate"}`),
		nulls:     set.NewCounter(`penstock_null_values_total`),
		skipped:   set.NewCounter(`penstock_skipped_values_total`),

		read:   set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="read"}`, event.StageBuckets()),
		decode: set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="decode"}`, event.StageBuckets()),
		delay: set.NewPrometheusHistogramExt(`penstock_delivery_delay_seconds`,
			[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600}),
	}
	statuses := []int{200, 204}
	for i := range problems {
		statuses = append(statuses, problems[i].Status)
	}
	for _, code := range statuses {
		if m.byStatus[code] == nil {
			m.byStatus[code] = set.NewCounter(fmt.Sprintf(`penstock_http_requests_total{code="%d"}`, code))
		}
	}
	rejections := func(code string) *metrics.Counter {
		return set.NewCounter(fmt.Sprintf(`penstock_events_rejected_total{code=%q}`, code))
	}
	for _, c := range event.Codes() {
		m.byCode = append(m.byCode, rejections(c.String()))
	}
	m.partialRefused = rejections(codePartialRefused)
	set.NewGauge(`penstock_http_connections`, func() float64 { return float64(s.conns.count()) })
	set.NewGauge(`penstock_http_inflight_bytes`, func() float64 { return float64(s.inflightBytes()) })
	return m
}

// answer counts an answer by its status.
func (m *serverMetrics) answer(status int) {
	if c := m.byStatus[status]; c != nil {
		c.Inc()
		return
	}
	m.other.Inc()
}

// record enters a request's outcome into the ledger. It borrows b, which may
// have been accepted already and is only read.
func (m *serverMetrics) record(b *event.Batch, o *dialect.Outcome) {
	m.received.Add(o.Received)
	m.accepted.Add(o.Accepted)
	m.duplicate.Add(o.Duplicates)
	m.nulls.Add(b.Nulls)
	m.skipped.Add(b.Skipped)
	if n := o.Rejected + o.Refused; n > 0 {
		m.rejected.Add(n)
		m.partialRefused.Add(o.Refused)
		for c, counter := range m.byCode {
			counter.Add(b.RejectedBy(event.Code(c)))
		}
	}
	if o.Accepted == 0 {
		return
	}
	for i := range b.Envelopes {
		if sent := b.Envelopes[i].SentAt; sent > 0 {
			m.delay.Update(float64(max(b.ReceivedAt-sent, 0)) / 1000)
		}
	}
}

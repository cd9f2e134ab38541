package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Ledger is Penstock's account of events, as its operator's listener states
// it in /metrics.
type Ledger struct {
	Received     float64 `json:"received"`
	Accepted     float64 `json:"accepted"`
	Rejected     float64 `json:"rejected"`
	Duplicate    float64 `json:"duplicate"`
	Stored       float64 `json:"stored"`
	DeadLettered float64 `json:"dead_lettered"`
	InFlight     float64 `json:"in_flight"`
}

// ReadLedger reads the ledger from the operator's listener at ops.
func ReadLedger(ctx context.Context, ops string) (Ledger, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(ops, "/")+"/metrics", nil)
	if err != nil {
		return Ledger{}, fmt.Errorf("cannot read the ledger: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Ledger{}, fmt.Errorf("cannot read the ledger: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Ledger{}, fmt.Errorf("cannot read the ledger: %s answers %s", req.URL, resp.Status)
	}
	return parseLedger(resp.Body)
}

func parseLedger(r io.Reader) (Ledger, error) {
	var l Ledger
	found := 0
	places := map[string]*float64{
		`penstock_events_total{outcome="received"}`:      &l.Received,
		`penstock_events_total{outcome="accepted"}`:      &l.Accepted,
		`penstock_events_total{outcome="rejected"}`:      &l.Rejected,
		`penstock_events_total{outcome="duplicate"}`:     &l.Duplicate,
		`penstock_events_total{outcome="stored"}`:        &l.Stored,
		`penstock_events_total{outcome="dead_lettered"}`: &l.DeadLettered,
		`penstock_events_in_flight`:                      &l.InFlight,
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if place := places[name]; place != nil {
			x, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return Ledger{}, fmt.Errorf("cannot read the ledger: %w", err)
			}
			*place = x
			found++
		}
	}
	if err := lines.Err(); err != nil {
		return Ledger{}, fmt.Errorf("cannot read the ledger: %w", err)
	}
	if found == 0 {
		return Ledger{}, fmt.Errorf("cannot read the ledger: no penstock_events_total in the metrics")
	}
	return l, nil
}

// Sub returns what was added since before. InFlight stays as it is.
func (l Ledger) Sub(before Ledger) Ledger {
	l.Received -= before.Received
	l.Accepted -= before.Accepted
	l.Rejected -= before.Rejected
	l.Duplicate -= before.Duplicate
	l.Stored -= before.Stored
	l.DeadLettered -= before.DeadLettered
	return l
}

// Balanced reports whether every event of a whole ledger is accounted for.
func (l Ledger) Balanced() bool {
	return l.Received == l.Accepted+l.Rejected+l.Duplicate &&
		l.Accepted == l.Stored+l.DeadLettered+l.InFlight
}

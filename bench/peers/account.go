package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// figures are those of a page of metrics, by name with labels.
type figures map[string]float64

// sum adds up all series of a name.
func (f figures) sum(name string) float64 {
	var total float64
	for series, v := range f {
		if series == name || strings.HasPrefix(series, name+"{") {
			total += v
		}
	}
	return total
}

func scrape(ctx context.Context, page string) (figures, error) {
	resp, err := get(ctx, page)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	f := figures{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
				f[line[:i]] = v
			}
		}
	}
	return f, lines.Err()
}

// balances holds Penstock's ledger to what the generator counted.
func (c *chain) balances(ctx context.Context, acknowledged uint64) error {
	f, err := scrape(ctx, c.metrics)
	if err != nil {
		return err
	}
	of := func(outcome string) uint64 {
		return uint64(f[fmt.Sprintf("penstock_events_total{outcome=%q}", outcome)])
	}
	if of("received") != of("accepted")+of("rejected")+of("duplicate") ||
		of("accepted") != of("stored") || of("accepted") != acknowledged {
		return fmt.Errorf("%w: %d acknowledged; received %d, accepted %d, rejected %d, duplicate %d, stored %d, dead-lettered %d",
			errUnfaithful, acknowledged, of("received"), of("accepted"), of("rejected"), of("duplicate"), of("stored"), of("dead_lettered"))
	}
	return nil
}

// count asks the store how many samples it has of the reference work. It asks
// for a part of the devices at a time, which keeps a query below the store's
// limits.
func count(ctx context.Context, store string) (uint64, error) {
	var total uint64
	for _, field := range []string{"temperature_c", "humidity_pct", "battery_v"} {
		for firmware := range 4 {
			// Telegraf puts the member's name before that of its own members.
			query := fmt.Sprintf(`sum(count_over_time({__name__=~"(values_)?%s",fw="1.4.%d"}[1h]) or count_over_time({__name__=~"(values_)?%[1]s",tags_fw="1.4.%[2]d"}[1h]))`, field, firmware)
			n, err := query1(ctx, store, query)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// query1 returns the one number that the query gives; nothing is 0.
func query1(ctx context.Context, store, query string) (uint64, error) {
	args := url.Values{
		"query": {query}, "nocache": {"1"},
		"time": {strconv.FormatInt(time.Now().Add(10*time.Second).Unix(), 10)},
	}
	resp, err := get(ctx, store+"/api/v1/query?"+args.Encode())
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("the answer to a query: %w", err)
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer to a query: %w", err)
	}
	return uint64(n), nil
}

func get(ctx context.Context, page string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answers %s", page, resp.Status)
	}
	return resp, nil
}

package main

import "context"

// forward runs Penstock and vmagent before the same store.
func forward(ctx context.Context, o options) error {
	works, err := o.wanted(referenceWorks[:1])
	if err != nil {
		return err
	}
	return o.session(ctx, "forward", func(_ *record, peers []peer, do func(job) error) error {
		for round := 1; round <= o.rounds; round++ {
			for _, w := range works {
				for _, p := range turn(peers, round) {
					if err := do(job{p, w, round}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// The figures of the program that forwards, and of the store behind it.
func frontCost(r result) float64 { return r.Steady.CPU[0] / float64(r.Steady.Events) * 1e6 }
func storeCost(r result) float64 { return r.Steady.CPU[1] / float64(r.Steady.Events) * 1e6 }
func frontRSS(r result) float64  { return float64(r.PeakRSS[0]) / (1 << 20) }

// forwardTable has the cost of the program that forwards apart from that of
// the store.
func (r *record) forwardTable() string {
	var rows [][]string
	for _, p := range r.seen("R1") {
		of := func(f func(result) float64, digits int) string { return r.over(p.name, "R1", f).text(digits) }
		rows = append(rows, []string{
			p.title, of(rate, 0), of(storing, 0), of(frontCost, 2), of(frontRSS, 0), of(storeCost, 2), of(p50, 1), of(p99, 1),
			r.storedText(p.name, "R1"), p.durable, p.validates, p.enriches,
		})
	}
	return table([]string{"R1", "events/s, answered", "events/s, stored", "CPU-s per million", "peak memory, MiB", "CPU-s per million of the store behind it",
		"p50, ms", "p99, ms", "found afterwards", "durable", "validates", "enriches"}, rows)
}

// forwardRatios hold Penstock to vmagent.
func (r *record) forwardRatios() string {
	var rows [][]string
	for _, p := range r.seen("R1") {
		if p.name == vmagent {
			continue
		}
		of := func(f func(result) float64) string { return r.ratio(p.name, vmagent, "R1", f).text(2) }
		rows = append(rows, []string{p.title, of(frontCost), of(cost), of(frontRSS), of(storing)})
	}
	return "Held to vmagent, the median of the ratios within each round:\n\n" +
		table([]string{"", "CPU per event", "with the store's", "peak memory", "events/s, stored"}, rows)
}

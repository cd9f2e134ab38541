package main

import "slices"

// spread is what several rounds came to.
type spread struct {
	Median, Min, Max float64
	Rounds           int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1], n}
}

func sum(values []float64) float64 {
	var total float64
	for _, v := range values {
		total += v
	}
	return total
}

func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// good returns the runs of a peer on a work that may be used.
func (r *record) good(peer, work string) []result {
	var runs []result
	for _, run := range r.Runs {
		if run.Peer == peer && run.Work.Name == work && run.Error == "" {
			runs = append(runs, run)
		}
	}
	return runs
}

// over is a figure of a peer on a work over all rounds.
func (r *record) over(peer, work string, of func(result) float64) spread {
	var values []float64
	for _, run := range r.good(peer, work) {
		values = append(values, of(run))
	}
	return spreadOf(values)
}

// ratio is a figure of one peer over that of another, round by round: what
// the machine does meanwhile is alike within a round and not beyond it.
func (r *record) ratio(peer, to, work string, of func(result) float64) spread {
	var values []float64
	for _, a := range r.good(peer, work) {
		for _, b := range r.good(to, work) {
			if a.Round == b.Round && of(b) != 0 {
				values = append(values, of(a)/of(b))
			}
		}
	}
	return spreadOf(values)
}

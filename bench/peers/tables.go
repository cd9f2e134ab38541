package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// workTitles are the works' headings.
var workTitles = []struct{ name, title string }{
	{"R1", "R1: 10,000 devices, 100 events per POST, 8 connections"},
	{"R2", "R2: 100,000 devices, 100 events per POST, 8 connections"},
	{"R3", "R3: 10,000 devices, one event per POST, 64 connections"},
}

// The figures of a run that tables and plots show.
func rate(r result) float64    { return r.Steady.EventsPerSecond }
func cost(r result) float64    { return r.Steady.perMillion() }
func storing(r result) float64 { return r.Steady.throughput() }
func newRate(r result) float64 { return r.First.throughput() }
func newCost(r result) float64 { return r.First.perMillion() }
func p50(r result) float64     { return r.Steady.Latency.P50 }
func p99(r result) float64     { return r.Steady.Latency.P99 }
func p999(r result) float64    { return r.Steady.Latency.P999 }
func found(r result) float64   { return 100 * r.stored() }
func offered(r result) float64 { return r.Work.Rate }
func peakRSS(r result) float64 {
	var total int64
	for _, b := range r.PeakRSS {
		total += b
	}
	return float64(total) / (1 << 20)
}

// tables is the record for people, as blocks of Markdown.
func (r *record) tables() []string {
	if r.Command == "growth" {
		return []string{r.provenance(), r.growthTable("devices", byDevices), r.newTable(), r.growthTable("events per POST", bySize), r.notes()}
	}
	if r.Command == "forward" {
		return []string{r.provenance(), r.forwardTable(), r.forwardRatios(), r.notes()}
	}
	blocks := []string{r.provenance()}
	for _, w := range workTitles {
		if t := r.workTable(w.name); t != "" {
			blocks = append(blocks, "### "+w.title+"\n\n"+t)
		}
	}
	return append(blocks, r.halfTable(), r.ratioTable(), r.firstTable(), r.notes())
}

// provenance says what was run, where and how long.
func (r *record) provenance() string {
	var v []string
	for _, p := range r.Versions {
		v = append(v, p.Program+" "+p.Version)
	}
	m := r.Machine
	text := fmt.Sprintf("%s, %s: %s of %s s each, medians, in parentheses the least and the greatest. %s, %d cores shared by generator and server, %.0f GiB of memory, Linux %s; fdatasync of 16 KiB took %.0f µs before and %.0f µs after. %s, all built with %s.",
		r.Began.Format("2 January 2006 15:04 MST"), r.Took.Round(time.Second), count1(r.Rounds, "round"), number(r.Seconds, 0),
		m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.Kernel, m.Fdatasync[0], m.Fdatasync[1], strings.Join(v, ", "), r.compilers())
	if len(r.Settings) > 0 {
		text += " Penstock ran with " + strings.Join(r.Settings, ", ") + "."
	}
	return text + "\n"
}

func (r *record) compilers() string {
	var all []string
	for _, v := range r.Versions {
		if !slices.Contains(all, v.Go) {
			all = append(all, v.Go)
		}
	}
	return strings.Join(all, " and ")
}

// seen are the peers that ran on the work, in the order of allPeers.
func (r *record) seen(work string) []peer {
	return slices.DeleteFunc(slices.Clone(allPeers), func(p peer) bool { return len(r.good(p.name, work)) == 0 })
}

func (r *record) workTable(work string) string {
	var rows [][]string
	for _, p := range r.seen(work) {
		of := func(f func(result) float64, digits int) string { return r.over(p.name, work, f).text(digits) }
		rows = append(rows, []string{
			p.title, of(rate, 0), of(storing, 0), of(cost, 2) + r.parts(p, work), of(p50, 1), of(p99, 1), of(p999, 1), of(peakRSS, 0),
			r.storedText(p.name, work), p.durable, p.validates, p.enriches,
		})
	}
	if rows == nil {
		return ""
	}
	return table([]string{"", "events/s, answered", "events/s, stored", "CPU-s per million", "p50, ms", "p99, ms", "p99.9, ms", "peak memory, MiB",
		"found afterwards", "durable", "validates", "enriches"}, rows)
}

// parts splits the cost of a chain by its programs.
func (r *record) parts(p peer, work string) string {
	if len(p.programs) == 1 {
		return ""
	}
	var parts []string
	for i, program := range p.programs {
		s := r.over(p.name, work, func(r result) float64 { return r.Steady.CPU[i] / float64(r.Steady.Events) * 1e6 })
		parts = append(parts, program+" "+number(s.Median, 2))
	}
	return ": " + strings.Join(parts, ", ")
}

// storedText is the share of acknowledged samples that a query found; the
// least over the rounds, because a median would hide a loss.
func (r *record) storedText(peer, work string) string {
	least := r.over(peer, work, found).Min
	if least == 100 {
		return "all"
	}
	return number(math.Floor(least*10)/10, 1) + " %"
}

// halfTable is the open loop.
func (r *record) halfTable() string {
	var rows [][]string
	for _, p := range r.seen("half") {
		of := func(f func(result) float64, digits int) string { return r.over(p.name, "half", f).text(digits) }
		rows = append(rows, []string{p.title, of(offered, 0), of(rate, 0), of(cost, 2), of(p50, 1), of(p99, 1), of(p999, 1)})
	}
	if rows == nil {
		return ""
	}
	return "### Half of Penstock's peak on R1, open loop\n\nLatency counts from the scheduled time.\n\n" +
		table([]string{"", "events/s, scheduled", "events/s, done", "CPU-s per million", "p50, ms", "p99, ms", "p99.9, ms"}, rows)
}

// ratioTable holds Penstock to the engine's own endpoint.
func (r *record) ratioTable() string {
	var rows [][]string
	for _, w := range []string{"R1", "R2", "R3", "half"} {
		of := func(f func(result) float64) string { return r.ratio(penstock, vmInflux, w, f).text(2) }
		if len(r.good(penstock, w)) == 0 || len(r.good(vmInflux, w)) == 0 {
			continue
		}
		rows = append(rows, []string{w, of(rate), of(storing), of(cost), of(p99), of(peakRSS)})
	}
	if rows == nil {
		return ""
	}
	return "### Penstock / VictoriaMetrics, Influx lines\n\nMedian of the ratios within each round.\n\n" +
		table([]string{"", "events/s, answered", "events/s, stored", "CPU per event", "p99", "peak memory"}, rows)
}

// firstTable is what new devices cost.
func (r *record) firstTable() string {
	var rows [][]string
	for _, p := range r.seen("R2") {
		rows = append(rows, []string{p.title, r.over(p.name, "R2", newRate).text(0), r.over(p.name, "R2", newCost).text(1)})
	}
	if rows == nil {
		return ""
	}
	return "### The first event of each device, R2\n\nIt creates three series. These 100,000 events come before the others and are not in the figures above.\n\n" +
		table([]string{"", "events/s, stored", "CPU-s per million"}, rows)
}

func (r *record) growthTable(by string, series []work) string {
	var rows [][]string
	for _, w := range series {
		name, n := growthName(w), w.Devices
		if by != "devices" {
			n = w.PerPost
		}
		row := []string{grouped(strconv.Itoa(n))}
		for _, p := range []string{penstock, vmInflux} {
			of := func(f func(result) float64, digits int) string { return r.over(p, name, f).text(digits) }
			row = append(row, of(storing, 0), of(cost, 2), of(peakRSS, 0))
		}
		rows = append(rows, append(row, r.ratio(penstock, vmInflux, name, cost).text(2)))
	}
	heads := []string{by}
	for _, p := range []string{"Penstock", "VictoriaMetrics"} {
		heads = append(heads, p+": events/s, stored", "CPU-s per million", "peak memory, MiB")
	}
	return "### By " + by + "\n\n" + table(append(heads, "CPU per event, ratio"), rows)
}

// newTable is what the first events of many devices cost.
func (r *record) newTable() string {
	var rows [][]string
	for _, w := range withManyNew(byDevices) {
		name := growthName(w)
		for _, p := range r.seen(name) {
			of := func(f func(result) float64, digits int) string { return r.over(p.name, name, f).text(digits) }
			rows = append(rows, []string{grouped(strconv.Itoa(w.Devices)), p.title, of(newRate, 0), of(newCost, 1)})
		}
	}
	return "### The first event of each device\n\nIt creates three series.\n\n" +
		table([]string{"devices", "", "events/s, stored", "CPU-s per million"}, rows)
}

// notes tell what a table cannot.
func (r *record) notes() string {
	notes := r.failures()
	for _, run := range r.Runs {
		refused := run.First.Errors + run.Steady.Errors
		for _, statuses := range []map[int]uint64{run.First.Statuses, run.Steady.Statuses} {
			for status, n := range statuses {
				if status < 200 || status > 299 {
					refused += n
				}
			}
		}
		if run.Error == "" && refused > 0 {
			notes = append(notes, fmt.Sprintf("%s on %s, round %d: %d requests were refused or not answered.", run.Peer, run.Work.Name, run.Round, refused))
		}
		if run.Error == "" && run.Steady.Missed > 0 {
			notes = append(notes, fmt.Sprintf("%s on %s, round %d: %d scheduled requests were never begun.", run.Peer, run.Work.Name, run.Round, run.Steady.Missed))
		}
	}
	if notes == nil {
		return ""
	}
	return "- " + strings.Join(notes, "\n- ") + "\n"
}

// readme is the extract that the README shows.
func (r *record) readme() string {
	var rows [][]string
	for _, p := range r.seen("R1") {
		of := func(work string, f func(result) float64, digits int) string {
			if len(r.good(p.name, work)) == 0 {
				return "–"
			}
			return number(r.over(p.name, work, f).Median, digits)
		}
		rows = append(rows, []string{p.title,
			of("R1", storing, 0), of("R1", cost, 2), of("R1", p99, 1), of("R1", peakRSS, 0),
			of("R2", storing, 0), of("R2", cost, 2), of("R3", storing, 0), of("R3", cost, 2), p.durable})
	}
	text := table([]string{"", "R1: events/s, stored", "CPU-s per million", "p99, ms", "peak MiB",
		"R2: events/s, stored", "CPU-s per million", "R3: events/s, stored", "CPU-s per million", "on disk"}, rows)
	if len(r.good(penstock, "half")) > 0 {
		of := func(f func(result) float64, digits int) string {
			return number(r.over(penstock, "half", f).Median, digits)
		}
		text += fmt.Sprintf("\nAt half of that peak, %s events per second in an open loop, the answer's p99 is %s ms and its p99.9 %s ms.\n",
			of(offered, 0), of(p99, 1), of(p999, 1))
	}
	return text
}

func table(heads []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// text is the median with least and greatest, as in "512 (498–530)"; a dash
// where there was no run.
func (s spread) text(digits int) string {
	if s.Rounds == 0 {
		return "–"
	}
	m, lo, hi := number(s.Median, digits), number(s.Min, digits), number(s.Max, digits)
	if lo == hi {
		return m
	}
	return fmt.Sprintf("%s (%s–%s)", m, lo, hi)
}

// number writes x with that many decimals and its thousands apart.
func number(x float64, digits int) string {
	return grouped(strconv.FormatFloat(x, 'f', digits, 64))
}

func grouped(text string) string {
	whole, rest, dot := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		whole += "." + rest
	}
	return whole
}

func count1(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

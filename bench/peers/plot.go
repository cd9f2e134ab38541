package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours are told apart by those who do not see all of them (Okabe and
// Ito).
var (
	colours = map[string]color.Color{
		penstock: color.RGBA{0x00, 0x72, 0xb2, 0xff},
		vmInflux: color.RGBA{0xe6, 0x9f, 0x00, 0xff},
		vmJSON:   color.RGBA{0xf0, 0xe4, 0x42, 0xff},
		vmagent:  color.RGBA{0x00, 0x9e, 0x73, 0xff},
		telegraf: color.RGBA{0xcc, 0x79, 0xa7, 0xff},
		vmLabels: color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	}
	legends     = map[string]string{penstock: "Penstock", vmInflux: "VictoriaMetrics", vmLabels: "VictoriaMetrics, 3 labels more"}
	shortTitles = map[string]string{
		penstock: "Penstock", vmInflux: "Victoria-\nMetrics,\nInflux", vmJSON: "Victoria-\nMetrics,\nJSON lines",
		vmagent: "vmagent,\nInflux,\nforward", telegraf: "Telegraf,\nJSON,\nforward",
	}
)

// plot draws the record as SVG.
func (r *record) plot(file string) error {
	if r.Command == "forward" {
		return nil // a table is enough
	}
	var tiles [][]*plot.Plot
	var err error
	if r.Command == "growth" {
		tiles, err = r.growthTiles()
	} else {
		tiles, err = r.compareTiles()
	}
	if err != nil || tiles == nil {
		return err
	}
	width := 3.4 * vg.Inch * vg.Length(len(tiles[0]))
	height := 2.7 * vg.Inch * vg.Length(len(tiles))
	canvas := vgsvg.New(width, height)
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	const pad = 8
	layout := draw.Tiles{Rows: len(tiles), Cols: len(tiles[0]), PadX: 2 * pad, PadY: 2 * pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: pad}
	for i, row := range plot.Align(tiles, layout, dc) {
		for j, c := range row {
			tiles[i][j].Draw(c)
		}
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Text was laid out by the metrics of Liberation Sans, which are Arial's.
	out := bytes.ReplaceAll(svg.Bytes(), []byte("Liberation Sans"), []byte("Liberation Sans,Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, out, 0o644)
}

// compareTiles has the rates in one row and the costs in the other, a column
// for each work.
func (r *record) compareTiles() ([][]*plot.Plot, error) {
	var rates, costs []*plot.Plot
	for _, w := range workTitles {
		if len(r.seen(w.name)) == 0 {
			continue
		}
		a, err := r.bars(w.name, w.name+": events per second, stored", storing)
		if err != nil {
			return nil, err
		}
		b, err := r.bars(w.name, w.name+": CPU-seconds per million events", cost)
		if err != nil {
			return nil, err
		}
		rates, costs = append(rates, a), append(costs, b)
	}
	if rates == nil {
		return nil, nil
	}
	return [][]*plot.Plot{rates, costs}, nil
}

func (r *record) bars(work, title string, of func(result) float64) (*plot.Plot, error) {
	p := newPlot(title)
	p.Y.Min = 0
	p.Y.Tick.Marker = groupedTicks{}
	p.X.Tick.Label.Font.Size = 8
	var names []string
	for i, peer := range r.seen(work) {
		s := r.over(peer.name, work, of)
		bar, err := plotter.NewBarChart(plotter.Values{s.Median}, 28)
		if err != nil {
			return nil, err
		}
		bar.XMin = float64(i)
		bar.Color = colours[peer.name]
		bar.LineStyle.Width = 0
		spread, err := plotter.NewYErrorBars(whiskers{float64(i), s})
		if err != nil {
			return nil, err
		}
		p.Add(bar, spread)
		names = append(names, shortTitles[peer.name])
		p.Y.Max = max(p.Y.Max, 1.05*s.Max)
	}
	p.NominalX(names...)
	return p, nil
}

// whiskers go from the least to the greatest.
type whiskers struct {
	x float64
	spread
}

func (w whiskers) Len() int                    { return 1 }
func (w whiskers) XY(int) (x, y float64)       { return w.x, w.Median }
func (w whiskers) YError(int) (lo, hi float64) { return w.Median - w.Min, w.Max - w.Median }

// growthTiles has what grows with the devices in one column and what grows
// with the size of a request in the other.
func (r *record) growthTiles() ([][]*plot.Plot, error) {
	devices := func(w work) float64 { return float64(w.Devices) }
	size := func(w work) float64 { return float64(w.PerPost) }
	var tiles [][]*plot.Plot
	for _, row := range [][]curve{
		{
			{"CPU-s per million events", "devices", byDevices, devices, cost, false},
			{"CPU-s per million events (log scale)", "events per POST", bySize, size, cost, true},
		},
		{
			{"events/s, stored", "devices", byDevices, devices, storing, false},
			{"events/s, stored", "events per POST", bySize, size, storing, false},
		},
		{
			{"CPU-s per million first events", "devices", withManyNew(byDevices), devices, newCost, false},
			{"peak memory, MiB", "devices", byDevices, devices, peakRSS, false},
		},
	} {
		var plots []*plot.Plot
		for _, c := range row {
			p, err := r.draw(c, tiles == nil && plots == nil)
			if err != nil {
				return nil, err
			}
			plots = append(plots, p)
		}
		tiles = append(tiles, plots)
	}
	return tiles, nil
}

// curve is a figure over the loads of a series.
type curve struct {
	title, axis string
	series      []work
	x           func(work) float64
	y           func(result) float64
	log         bool
}

func (r *record) draw(c curve, legend bool) (*plot.Plot, error) {
	p := newPlot(c.title)
	p.X.Label.Text = c.axis
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	p.X.Min, p.X.Max = c.x(c.series[0])/1.2, 1.2*c.x(c.series[len(c.series)-1])
	p.Y.Tick.Marker = groupedTicks{}
	lo, hi := math.Inf(1), 0.0
	for _, peer := range grown {
		var points plotter.XYs
		for _, w := range c.series {
			name := growthName(w)
			if len(r.good(peer, name)) == 0 {
				continue
			}
			s := r.over(peer, name, c.y)
			points = append(points, plotter.XY{X: c.x(w), Y: s.Median})
			lo, hi = min(lo, s.Median), max(hi, s.Median)
		}
		if points == nil {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = colours[peer], 2
		dots.Color, dots.Shape, dots.Radius = colours[peer], draw.CircleGlyph{}, 3
		p.Add(line, dots)
		if legend {
			p.Legend.Add(legends[peer], line, dots)
		}
	}
	p.Y.Min, p.Y.Max = 0, 1.1*hi
	if c.log && hi > 0 {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
	}
	return p, nil
}

const sans = "Sans"

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size, p.Title.TextStyle.Font.Variant = 11, sans
	p.Title.Padding = 6
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Size, style.Font.Variant = 9, sans
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{0xdd}
	p.Add(grid)
	return p
}

// decades are ticks at the powers of ten.
type decades struct{}

func (decades) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for x := math.Pow(10, math.Ceil(math.Log10(lo)-1e-9)); x <= hi; x *= 10 {
		label := strconv.FormatFloat(x, 'f', -1, 64)
		label = strings.TrimSuffix(label, "000000") + strings.Repeat("M", strings.Count(label, "000000"))
		if thousands, ok := strings.CutSuffix(label, "000"); ok {
			label = thousands + "k"
		}
		ticks = append(ticks, plot.Tick{Value: x, Label: label})
	}
	return ticks
}

// groupedTicks are the usual ticks with the thousands of their labels apart.
type groupedTicks struct{}

func (groupedTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = grouped(strconv.FormatFloat(t.Value, 'f', -1, 64))
		}
	}
	return ticks
}

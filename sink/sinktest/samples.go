package sinktest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// Samples is what a store holds: by series, as Series writes them, and by
// timestamp in milliseconds.
type Samples map[string]map[int64]float64

// Series writes a series as name{label="value",...} with the labels sorted.
func Series(name string, labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		if v != "" {
			parts = append(parts, k+"="+strconv.Quote(v))
		}
	}
	slices.Sort(parts)
	return name + "{" + strings.Join(parts, ",") + "}"
}

// Add adds a sample.
func (s Samples) Add(series string, ts int64, value float64) {
	if s[series] == nil {
		s[series] = map[int64]float64{}
	}
	s[series][ts] = value
}

// Len returns the number of samples.
func (s Samples) Len() int {
	n := 0
	for _, x := range s {
		n += len(x)
	}
	return n
}

// Expect returns what a store should hold of the batches: of several values
// of one series and timestamp the largest. prefix stands before the fields'
// names.
func Expect(prefix string, batches ...*event.Batch) Samples {
	all := Samples{}
	for _, b := range batches {
		for i := range b.Events {
			e := &b.Events[i]
			labels := map[string]string{}
			for _, l := range b.Tags(e) {
				labels[l.Name] = l.Value
			}
			for _, l := range e.Labels.All() {
				labels[l.Name] = l.Value
			}
			labels["device"] = e.Device
			for _, f := range b.Fields(e) {
				series := Series(prefix+f.Name, labels)
				if old, ok := all[series][e.Timestamp]; !ok || f.Value > old {
					all.Add(series, e.Timestamp, f.Value)
				}
			}
		}
	}
	return all
}

// Diff returns what differs between s, which is expected, and got, and nil if
// nothing does. Values may be off by the share tolerance of themselves.
func (s Samples) Diff(got Samples, tolerance float64) error {
	var faults []string
	fault := func(format string, args ...any) {
		if len(faults) < 10 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	missing, extra := 0, 0
	for series, want := range s {
		for ts, v := range want {
			x, ok := got[series][ts]
			switch {
			case !ok:
				missing++
				fault("%s at %d is missing", series, ts)
			case x != v && !(math.Abs(x-v) <= tolerance*math.Abs(v)):
				fault("%s at %d is %v, not %v", series, ts, x, v)
			}
		}
	}
	for series, have := range got {
		for ts := range have {
			if _, ok := s[series][ts]; !ok {
				extra++
				fault("%s at %d is too much", series, ts)
			}
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d samples are missing, %d are too many:\n%s", missing, s.Len(), extra, strings.Join(faults, "\n"))
}

// Export returns what VictoriaMetrics holds of the series that match, of all
// times.
func (s *Server) Export(match string) (Samples, error) {
	body, err := s.Get("/api/v1/export?start=0&end=4102444800&match[]=" + url.QueryEscape(match))
	if err != nil {
		return nil, err
	}
	all := Samples{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var x struct {
			Metric     map[string]string
			Values     []float64
			Timestamps []int64
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, fmt.Errorf("export: %w in %.200s", err, lines.Text())
		}
		name := x.Metric["__name__"]
		delete(x.Metric, "__name__")
		series := Series(name, x.Metric)
		for i, ts := range x.Timestamps {
			if _, ok := all[series][ts]; ok {
				return nil, fmt.Errorf("export: %s has two samples at %d", series, ts)
			}
			all.Add(series, ts, x.Values[i])
		}
	}
	return all, lines.Err()
}

// Raw returns what Prometheus holds of the series that match over the time,
// such as "20y", before at, which is in Unix seconds: an instant query of a
// range vector gives the samples as they are.
func (s *Server) Raw(match, over string, at int64) (Samples, error) {
	body, err := s.Get(fmt.Sprintf("/api/v1/query?time=%d&query=%s", at, url.QueryEscape(match+"["+over+"]")))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("query: %w in %.200s", err, body)
	}
	all := Samples{}
	for _, x := range answer.Data.Result {
		name := x.Metric["__name__"]
		delete(x.Metric, "__name__")
		series := Series(name, x.Metric)
		for _, v := range x.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil {
				return nil, fmt.Errorf("query: %w", err)
			}
			ts := int64(math.Round(v[0].(float64) * 1000))
			if _, ok := all[series][ts]; ok {
				return nil, fmt.Errorf("query: %s has two samples at %d", series, ts)
			}
			all.Add(series, ts, value)
		}
	}
	return all, nil
}

// InfluxRow is one series of an answer of InfluxDB's.
type InfluxRow struct {
	Name    string
	Tags    map[string]string
	Columns []string
	Values  [][]any
}

// Influx runs a statement of InfluxQL. Times in the answer are milliseconds.
func (s *Server) Influx(database, statement string) ([]InfluxRow, error) {
	// A GET may not change anything.
	body, err := s.ask(http.MethodPost, "/query?epoch=ms&db="+url.QueryEscape(database)+"&q="+url.QueryEscape(statement))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Series []InfluxRow
			Error  string
		}
		Error string
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		return nil, fmt.Errorf("influxql: %w in %.200s", err, body)
	}
	if answer.Error != "" {
		return nil, errors.New("influxql: " + answer.Error)
	}
	var rows []InfluxRow
	for _, r := range answer.Results {
		if r.Error != "" {
			return nil, errors.New("influxql: " + r.Error)
		}
		rows = append(rows, r.Series...)
	}
	return rows, nil
}

// Selected returns what InfluxDB holds of a measurement, with the fields as
// names of series.
func (s *Server) Selected(database, measurement string) (Samples, error) {
	rows, err := s.Influx(database, fmt.Sprintf("SELECT * FROM %q GROUP BY *", measurement))
	if err != nil {
		return nil, err
	}
	all := Samples{}
	for _, r := range rows {
		names := make([]string, len(r.Columns))
		for i, c := range r.Columns {
			names[i] = Series(c, r.Tags)
		}
		for _, row := range r.Values {
			ts, err := row[0].(json.Number).Int64()
			if err != nil {
				return nil, fmt.Errorf("influxql: %w", err)
			}
			for i := 1; i < len(row); i++ {
				if row[i] == nil {
					continue
				}
				x, err := row[i].(json.Number).Float64()
				if err != nil {
					return nil, fmt.Errorf("influxql: %w", err)
				}
				all.Add(names[i], ts, x)
			}
		}
	}
	return all, nil
}

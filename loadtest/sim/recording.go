package sim

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Recording is a CSV file of readings: the first column holds timestamps, and
// each of the others is a field.
type Recording struct {
	Device string
	Rows   []Event // in the order of their timestamps
	// Empty counts cells without a finite number, which are left out.
	Empty int
}

// ReadRecording reads a file. The device has the file's name without its
// ending. field, if not empty, renames the only column of values.
func ReadRecording(file, field string) (*Recording, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := parseRecording(f, field)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	name := filepath.Base(file)
	r.Device = strings.TrimSuffix(name, filepath.Ext(name))
	return r, nil
}

func parseRecording(in io.Reader, field string) (*Recording, error) {
	c := csv.NewReader(in)
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("cannot read the header: %w", err)
	}
	if len(header) < 2 {
		return nil, errors.New("the header needs a column of timestamps and one of values")
	}
	names := make([]string, 0, len(header)-1)
	for _, h := range header[1:] {
		names = append(names, fieldName(h))
	}
	if field != "" {
		if len(names) != 1 {
			return nil, fmt.Errorf("a field's name was given, but there are %d columns of values", len(names))
		}
		names[0] = fieldName(field)
	}
	if sorted := slices.Sorted(slices.Values(names)); len(slices.Compact(sorted)) != len(names) {
		return nil, fmt.Errorf("two columns have the same field name: %q", names)
	}
	r := &Recording{}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		at, err := parseTime(row[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		e := Event{TS: at.UnixMilli(), Values: make(map[string]any, len(names))}
		for i, cell := range row[1:] {
			x, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
			if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				r.Empty++
				continue
			}
			e.Values[names[i]] = x
		}
		if len(e.Values) > 0 {
			r.Rows = append(r.Rows, e)
		}
	}
	if len(r.Rows) == 0 {
		return nil, errors.New("there are no readings")
	}
	slices.SortStableFunc(r.Rows, func(a, b Event) int { return int(min(max(a.TS-b.TS, -1), 1)) })
	return r, nil
}

// parseTime reads a timestamp: "2013-12-02 21:15:00", which is UTC, RFC 3339,
// or seconds or milliseconds since the Unix epoch.
func parseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.DateTime, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("not a timestamp: %q", s)
	case n < 100_000_000_000: // until the year 5138 in seconds, from 1973 in milliseconds
		return time.Unix(n, 0), nil
	}
	return time.UnixMilli(n), nil
}

// fieldName makes a field name of the contract's form out of a column's
// title.
func fieldName(s string) string {
	var b strings.Builder
	for i, r := range strings.TrimSpace(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r >= '0' && r <= '9' && i > 0:
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			b.WriteString("_")
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	name := b.String()
	if rest, ok := strings.CutPrefix(name, "__"); ok || name == "" {
		name = "x_" + rest // a leading __ is reserved
	}
	return name[:min(len(name), 128)]
}

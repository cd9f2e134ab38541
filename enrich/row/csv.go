package row

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// parseCSV reads a header row and a row per device. Every column but that of
// the device is a label; an empty cell is none.
func parseCSV(in *Input, deviceColumn string, emit func(Row) error) error {
	r := csv.NewReader(in)
	r.ReuseRecord = true

	header, err := r.Read()
	if err == io.EOF {
		return errors.New("the file is empty, it needs at least a header row")
	}
	if err != nil {
		return csvFault(in, err, emit)
	}
	header = slices.Clone(header)
	line, _ := r.FieldPos(0)
	device := slices.Index(header, deviceColumn)
	if faults := checkHeader(header, device, deviceColumn); len(faults) > 0 {
		for _, fault := range faults {
			if err := emit(Row{Line: line, Fault: fault}); err != nil {
				return err
			}
		}
		return nil // the rows have no meaning without their names
	}

	labels := make([]event.Label, 0, len(header))
	for {
		in.consume(r.InputOffset())
		record, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, csv.ErrFieldCount) {
			line, _ := r.FieldPos(0)
			fault := fmt.Sprintf("the row has %d columns, the header has %d", len(record), len(header))
			if err := emit(Row{Line: line, Fault: fault}); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return csvFault(in, err, emit)
		}
		labels = labels[:0]
		for i, value := range record {
			if i != device && value != "" {
				labels = append(labels, event.Label{Name: header[i], Value: value})
			}
		}
		line, _ := r.FieldPos(0)
		if err := emit(Row{Line: line, Device: record[device], Labels: labels}); err != nil {
			return err
		}
	}
}

// checkHeader returns what is wrong with the header, whose column device is
// that of the device, or -1.
func checkHeader(header []string, device int, deviceColumn string) []string {
	var faults []string
	if device < 0 {
		fault := fmt.Sprintf("no column is named %q", deviceColumn)
		if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
			fault += ": columns are separated by commas"
		}
		return append(faults, fault)
	}
	for i, name := range header {
		if slices.Index(header, name) < i {
			faults = append(faults, fmt.Sprintf("column %d: the name %.64q is given twice", i+1, name))
			continue
		}
		if i == device {
			continue
		}
		if err := CheckName(name); err != nil {
			faults = append(faults, fmt.Sprintf("column %d: %v", i+1, err))
		}
	}
	return faults
}

// csvFault ends the parse with an error of the reader. What follows a broken
// quote cannot be trusted to be rows.
func csvFault(in *Input, err error, emit func(Row) error) error {
	if errors.Is(err, errRowTooLong) {
		return emit(Row{Line: in.line, Fault: err.Error()})
	}
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	fault := fmt.Sprintf("column %d: %v", parse.Column, parse.Err)
	if parse.StartLine != parse.Line {
		fault += fmt.Sprintf(" (on line %d)", parse.Line)
	}
	return emit(Row{Line: parse.StartLine, Fault: fault})
}

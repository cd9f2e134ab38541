package enrich

import (
	"errors"
	"fmt"
	"strings"
)

// maxFaults is how many faults of a table are reported at once.
const maxFaults = 10

// errTooMany ends a load that has found maxFaults.
var errTooMany = errors.New("too many faults")

// faultList is the error of sources that could be read, but not be used.
type faultList struct {
	list []string
}

// add records a fault and returns errTooMany with the last that is listed.
func (f *faultList) add(source string, line int, text string) error {
	if line > 0 {
		text = fmt.Sprintf("%s:%d: %s", source, line, text)
	} else {
		text = fmt.Sprintf("%s: %s", source, text)
	}
	f.list = append(f.list, text)
	if len(f.list) < maxFaults {
		return nil
	}
	return errTooMany
}

// Error returns one fault per line.
func (f *faultList) Error() string {
	text := strings.Join(f.list, "\n")
	if len(f.list) >= maxFaults {
		text += fmt.Sprintf("\nstopped after %d faults", maxFaults)
	}
	return text
}

// shrinkError is the error of a table that lost too many devices.
type shrinkError struct {
	old, new  int
	maxShrink float64
}

func (e *shrinkError) Error() string {
	return fmt.Sprintf("the new table has %d devices, the old one %d, and max_shrink is %g: "+
		"if this is right, reload once more by SIGHUP, which takes a table that has been refused for this", e.new, e.old, e.maxShrink)
}

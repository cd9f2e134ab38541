package guard

import (
	"errors"
	"fmt"
	"strings"
)

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	return errors.Join(under("cardinality.", c.Cardinality.Validate()), under("schema.", c.Schema.Validate()))
}

// under puts the section before each fault.
func under(section string, err error) error {
	if err == nil {
		return nil
	}
	var errs []error
	for line := range strings.Lines(err.Error()) {
		errs = append(errs, fmt.Errorf("%s%s", section, strings.TrimSuffix(line, "\n")))
	}
	return errors.Join(errs...)
}

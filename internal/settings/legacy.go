package settings

import (
	"errors"
	"strings"
)

// legacyFaults understands the errors of a method Validate: joined errors each
// of which begins with its key and a colon. It is here until the last such
// method is a Checker.
func legacyFaults(err error) Faults {
	if err == nil {
		return nil
	}
	var known Faults
	if errors.As(err, &known) {
		return known
	}
	var all Faults
	if joined, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(joined.Unwrap()...).Error() {
		for _, e := range joined.Unwrap() {
			all = append(all, legacyFaults(e)...)
		}
		return all
	}
	key, detail, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(key, " \t\n") {
		return Faults{{Detail: err.Error()}}
	}
	return Faults{{Key: key, Detail: detail}}
}

package enrich

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// The bounds of the wire contract, which the table keeps so that what it adds
// cannot make a valid event one that the store refuses.
const (
	maxNameBytes   = 128
	maxValueBytes  = 256
	maxDeviceBytes = 128
)

// checkName returns what is wrong with a label's name, or "".
func checkName(name string) string {
	switch {
	case name == "":
		return "a label has an empty name"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("label name %.32q... is %d bytes long, the limit is %d", name, len(name), maxNameBytes)
	case name == "device":
		return `label name "device" is reserved for the device itself`
	case len(name) >= 2 && name[:2] == "__":
		return fmt.Sprintf("label name %q must not begin with __", name)
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9' {
			continue
		}
		return fmt.Sprintf("label name %q must match [A-Za-z_][A-Za-z0-9_]*", name)
	}
	return ""
}

// checkValue returns what is wrong with a label's value, or "". The caller
// says whose value it is.
func checkValue(value string) string {
	if len(value) > maxValueBytes {
		return fmt.Sprintf("is %d bytes long, the limit is %d", len(value), maxValueBytes)
	}
	if !utf8.ValidString(value) {
		return fmt.Sprintf("%.64q is not valid UTF-8", value)
	}
	return ""
}

// checkDevice returns what is wrong with a device's name, or "".
func checkDevice(device string) string {
	switch {
	case device == "":
		return "the device is empty"
	case len(device) > maxDeviceBytes:
		return fmt.Sprintf("device %.32q... is %d bytes long, the limit is %d", device, len(device), maxDeviceBytes)
	case !utf8.ValidString(device):
		return fmt.Sprintf("device %q is not valid UTF-8", device)
	}
	for _, r := range device {
		if unicode.IsControl(r) {
			return fmt.Sprintf("device %q has a control character", device)
		}
	}
	return ""
}

package row

import (
	"errors"
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

// CheckName returns what is wrong with a label's name.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a label has an empty name")
	case len(name) > maxNameBytes:
		return fmt.Errorf("label name %.32q... is %d bytes long, the limit is %d", name, len(name), maxNameBytes)
	case name == "device":
		return errors.New(`label name "device" is reserved for the device itself`)
	case len(name) >= 2 && name[:2] == "__":
		return fmt.Errorf("label name %q must not begin with __", name)
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9' {
			continue
		}
		return fmt.Errorf("label name %q must match [A-Za-z_][A-Za-z0-9_]*", name)
	}
	return nil
}

// CheckValue returns what is wrong with a label's value. The caller says
// whose value it is.
func CheckValue(value string) error {
	if len(value) > maxValueBytes {
		return fmt.Errorf("is %d bytes long, the limit is %d", len(value), maxValueBytes)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("%.64q is not valid UTF-8", value)
	}
	return nil
}

// CheckDevice returns what is wrong with a device's name.
func CheckDevice(device string) error {
	switch {
	case device == "":
		return errors.New("the device is empty")
	case len(device) > maxDeviceBytes:
		return fmt.Errorf("device %.32q... is %d bytes long, the limit is %d", device, len(device), maxDeviceBytes)
	case !utf8.ValidString(device):
		return fmt.Errorf("device %q is not valid UTF-8", device)
	}
	for _, r := range device {
		if unicode.IsControl(r) {
			return fmt.Errorf("device %q has a control character", device)
		}
	}
	return nil
}

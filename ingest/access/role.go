package access

import (
	"fmt"
	"strings"
)

// Role is what a key may do on the operator's listener. Each contains those
// before it.
type Role uint8

// The roles.
const (
	NoRole  Role = iota
	Read         // queries, metrics, health with its details
	Operate      // devices' labels, replay, forget
	Admin        // profiles
)

var roleNames = [...]string{NoRole: "", Read: "read", Operate: "operate", Admin: "admin"}

// String returns the role as it stands in a keys file.
func (r Role) String() string { return roleNames[r] }

func parseRole(s string) (Role, error) {
	for r, name := range roleNames {
		if s == name {
			return Role(r), nil
		}
	}
	return NoRole, fmt.Errorf("must be one of %s, got %.64q", strings.Join(roleNames[1:], ", "), s)
}

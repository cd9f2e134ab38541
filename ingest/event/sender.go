package event

// Sender is who sent a batch, as the listener has found out before it read the
// body. It is made once for each key, certificate or token, shared by all
// batches of it, never changed, and outlives them. A batch without one comes
// from somebody who was let in without a name.
type Sender struct {
	// Key names the key, certificate or token, for logs and limits. It is no
	// secret.
	Key string

	// Tenant is whose the devices are; empty if that is not told apart.
	Tenant string

	// Device is the only device that the sender speaks for, which its events
	// need not name; empty if there may be several.
	Device string

	// Allowed reports whether the sender speaks for a device; nil allows every
	// one. It allocates nothing and keeps nothing.
	Allowed func(device string) bool
}

// MaySend reports whether s, which may be nil, speaks for the device.
func (s *Sender) MaySend(device string) bool {
	switch {
	case s == nil:
		return true
	case s.Device != "":
		return s.Device == device
	}
	return s.Allowed == nil || s.Allowed(device)
}

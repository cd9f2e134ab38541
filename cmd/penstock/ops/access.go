package ops

import (
	"net/http"
	"net/netip"

	"github.com/penstock-io/penstock/ingest/access"
	"github.com/penstock-io/penstock/ingest/event"
)

// Access tells who may do what.
type Access interface {
	// Permit returns nil if the values of the Authorization header name
	// somebody who has the role, else an error that wraps an event.Refusal. It
	// may take its time with an address that has failed often; done ends that.
	Permit(from netip.Addr, authorization []string, role access.Role, done <-chan struct{}) error
}

// needs lets those pass to h who have the role.
func (s Service) needs(role access.Role, h http.Handler) http.Handler {
	if s.Access == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.permits(w, r, role) {
			h.ServeHTTP(w, r)
		}
	})
}

// permits reports whether the sender of r has the role, and answers r if not.
func (s Service) permits(w http.ResponseWriter, r *http.Request, role access.Role) bool {
	if s.Access == nil {
		return true
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // an invalid one is nobody's
	err := s.Access.Permit(from.Addr(), r.Header["Authorization"], role, r.Context().Done())
	if err == nil {
		return true
	}
	refusal := event.AsRefusal(err)
	w.Header().Set("Cache-Control", "no-store")
	if refusal.Cause == event.NotAllowed {
		roleRequired.Answer(w, "the key has not the role "+role.String()+", which this path asks for")
		return false
	}
	// Basic comes first: it is what a browser can ask its user for.
	w.Header().Set("WWW-Authenticate", `Basic realm="penstock", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="penstock"`)
	keyRequired.Answer(w, refusal.Detail)
	return false
}

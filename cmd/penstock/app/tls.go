package app

import (
	"crypto/tls"
	"fmt"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/access/cert"
	"github.com/penstock-io/penstock/ingest/httpapi"
	"github.com/penstock-io/penstock/internal/servertls"
)

// secure has the listeners serve TLS where the configuration says so.
func (a *App) secure() error {
	if a.cfg.TLS.Enabled() {
		s, clients, err := a.openTLS(a.cfg.TLS, "devices")
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		t := httpapi.TLS{Config: s.TLS()}
		if clients != nil {
			t.Identify = clients.Identify
		}
		a.devices.UseTLS(t)
	}
	if a.cfg.OpsTLS.Enabled() {
		s, _, err := a.openTLS(a.cfg.OpsTLS, "operator")
		if err != nil {
			return fmt.Errorf("ops_tls: %w", err)
		}
		// net/http makes the handshake of a listener of crypto/tls, within
		// ReadHeaderTimeout.
		a.opsLn = tls.NewListener(a.opsLn, s.TLS())
	}
	return nil
}

// openTLS opens TLS for a listener, and the authority on its clients, which is
// nil if they show no certificates.
func (a *App) openTLS(cfg config.TLS, listener string) (*servertls.Server, *cert.Authority, error) {
	var (
		authority *cert.Authority
		clients   servertls.Clients
	)
	if cfg.Client.CAFile != "" {
		var err error
		if authority, err = cert.New(cfg.Client, listener, a.log, a.set); err != nil {
			return nil, nil, err
		}
		clients = authority
	}
	s, err := servertls.New(cfg.Config, listener, clients, a.log, a.set)
	if err != nil {
		return nil, nil, err
	}
	a.secured = append(a.secured, s)
	return s, authority, nil
}

// scheme is that of a listener's URLs.
func scheme(cfg config.TLS) string {
	if cfg.Enabled() {
		return "https"
	}
	return "http"
}

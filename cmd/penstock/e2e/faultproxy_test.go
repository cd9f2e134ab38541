package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// faultProxy stands between penstock and a store, and does to the connections
// what networks do.
type faultProxy struct {
	t        *testing.T
	proxy    *toxiproxy.Proxy
	addr     string
	upstream string
	// failing makes a store that speaks HTTP answer 500 to everything.
	failing atomic.Bool
	stopped bool
}

// toxic is a fault of toxiproxy's.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]any `json:"attributes"`
}

// newFaultProxy starts a proxy to host:port. With web, requests that come
// through go to a web server first, which can be told to answer 500.
func newFaultProxy(t *testing.T, upstream string, web bool) *faultProxy {
	t.Helper()
	p := &faultProxy{t: t, upstream: upstream}
	if web {
		forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p.failing.Load() {
				http.Error(w, "told to fail", http.StatusInternalServerError)
				return
			}
			forward.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		p.upstream = strings.TrimPrefix(server.URL, "http://")
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p.proxy = toxiproxy.NewProxy(api, t.Name(), "127.0.0.1:0", p.upstream)
	if err := p.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	p.addr = p.proxy.Listen
	t.Cleanup(func() {
		if !p.stopped {
			p.proxy.Stop()
		}
	})
	return p
}

// set adds faults.
func (p *faultProxy) set(toxics ...toxic) {
	p.t.Helper()
	for _, x := range toxics {
		text, err := json.Marshal(x)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			p.t.Fatal(err)
		}
	}
}

// down refuses connections and ends those that are open.
func (p *faultProxy) down() {
	p.t.Helper()
	p.update(false)
}

func (p *faultProxy) update(enabled bool) {
	p.t.Helper()
	if err := p.proxy.Update(&toxiproxy.Proxy{Listen: p.addr, Upstream: p.upstream, Enabled: enabled}); err != nil {
		p.t.Fatal(err)
	}
	p.stopped = !enabled
}

// heal takes all faults away.
func (p *faultProxy) heal() {
	p.t.Helper()
	p.failing.Store(false)
	if p.stopped {
		p.update(true)
	}
	p.proxy.Toxics.ResetToxics(context.Background())
}

// Package config is the list of all settings: it puts the Config structs of the
// components together, and says what they must be to one another. How such
// structs are filled, printed and described is the affair of internal/settings.
package config

import (
	_ "embed" // for the first part of the reference
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/access"
	"github.com/penstock-io/penstock/ingest/access/cert"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/guard"
	"github.com/penstock-io/penstock/ingest/httpapi"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/ingest/limit"
	"github.com/penstock-io/penstock/internal/servertls"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/settings/layers"
	"github.com/penstock-io/penstock/sink/deadletter"
	"github.com/penstock-io/penstock/sink/delivery"
)

// Config holds every setting of `penstock serve`. Its top-level struct fields
// are the sections of the file.
type Config struct {
	// Listen is the address of the devices' listener. Port 0 picks a free one.
	Listen string `yaml:"listen" default:"127.0.0.1:8080" help:"Address of the devices' listener, host:port. An empty host listens on all interfaces; port 0 picks a free port."`

	// OpsListen is the address of the operator's listener. Whoever reaches it
	// can read everything that is stored.
	OpsListen string `yaml:"ops_listen" default:"127.0.0.1:8081" help:"Address of the operator's listener (metrics, health, queries, vmui, profiles), host:port. Beyond loopback it needs keys with roles, see access.operator."`

	TLS    TLS `yaml:"tls" help:"TLS of the devices' listener: its certificate, and those of clients."`
	OpsTLS TLS `yaml:"ops_tls" help:"TLS of the operator's listener: its certificate, and those of clients."`

	// DataDir holds everything that survives a restart. It is created if it
	// is missing.
	DataDir string `yaml:"data_dir" default:"./penstock-data" help:"Directory of everything that survives a restart. Created if missing."`

	// ShutdownTimeout bounds a graceful shutdown. What is not done by then is
	// counted and, where there is a journal, stays in it.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" default:"30s" min:"1ms" help:"Longest time that a graceful shutdown may take. What is not delivered by then is counted and logged."`

	// DrainDelay is how long a shutdown waits before the devices' listener
	// drains; 0 is not at all. It comes before ShutdownTimeout begins.
	DrainDelay time.Duration `yaml:"drain_delay" default:"0s" min:"0" help:"How long devices are still served after SIGTERM while /readyz answers 503, so that a load balancer sees it and sends them elsewhere. It comes before shutdown_timeout begins. 0 drains at once."`

	Log Log `yaml:"log" help:"The program's own log, on standard error."`

	Access      access.Config     `yaml:"access" help:"Who may send, and who may look. Without a source of keys everybody may, which is for loopback only."`
	HTTP        httpapi.Config    `yaml:"http" help:"The devices' listener: limits on connections and requests."`
	Limits      decode.Config     `yaml:"limits" help:"What an event may look like."`
	Dialects    Dialects          `yaml:"dialects" help:"The wire forms of other systems that the devices' listener takes."`
	RateLimits  limit.Config      `yaml:"rate_limits" help:"How much tenants and devices may send. Nothing is limited by default. Changes take effect while the service runs."`
	Guard       guard.Config      `yaml:"guard" help:"What is looked at besides the form of an event: how many series there are, and what values may be."`
	Journal     journal.Config    `yaml:"journal" help:"What makes an acknowledgement durable: the log on disk that every accepted event goes through."`
	Pool        ingest.Config     `yaml:"pool" help:"The workers between the journal and the sinks."`
	Enrichment  enrich.Config     `yaml:"enrichment" help:"Labels that are added to events by their device."`
	Store       Store             `yaml:"store" help:"The store in the process: VictoriaMetrics' engine."`
	Delivery    delivery.Config   `yaml:"delivery" help:"Batching and retries on the way into the embedded store. Sinks have such a section each."`
	DeadLetters deadletter.Config `yaml:"dead_letters" help:"What a store refuses for ever: it is kept on disk, for each sink in a directory of its own."`
	Sinks       []Sink            `yaml:"sinks" help:"Stores beside the embedded one, or instead of it. Each gets every event, has its own position in the journal, and holds back no other. They can be added, changed and removed while the service runs."`
}

// Log says how much is logged and in which form.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level" default:"info" oneof:"debug,info,warn,error" help:"Least severity that is logged."`

	// Format is text or json.
	Format string `yaml:"format" default:"text" oneof:"text,json" help:"Form of a log line: text (key=value) or json."`
}

// EnvFile names the configuration file where no flag does.
const EnvFile = "PENSTOCK_CONFIG"

var schema = layers.Schema{EnvPrefix: "PENSTOCK_", EnvFile: EnvFile}

// Default returns the configuration of a bare `penstock serve`.
func Default() Config { return settings.Default[Config]() }

// Load fills a Config from all layers and validates it. The error is of type
// settings.Faults and holds everything that is wrong in any of them; the
// Config is then of no use.
func Load(from layers.Sources) (Config, layers.Origins, error) {
	cfg := Default()
	origins, err := schema.Load(&cfg, from)
	if err != nil {
		return Config{}, nil, err
	}
	return cfg, origins, nil
}

// TLS is how a listener serves TLS.
type TLS struct {
	servertls.Config
	Client cert.Config `yaml:"client" help:"Certificates of clients (mTLS)."`
}

// Check notes what the settings of TLS must be to one another.
func (t TLS) Check(f *settings.Faults) {
	t.Config.Check(f)
	if t.Client.CAFile != "" && !t.Enabled() {
		f.Add("client.ca_file", "needs cert_file and key_file, since clients show certificates in TLS only")
	}
}

//go:embed intro.md
var intro string

// Reference returns the page docs/configuration.md.
func Reference() string { return layers.Markdown(intro, schema.Reference(Default())) }

// Check notes what the sections must be to one another.
func (c Config) Check(f *settings.Faults) {
	checkAddress(f, "listen", c.Listen)
	checkAddress(f, "ops_listen", c.OpsListen)
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "0" && c.Listen == c.OpsListen {
		f.Add("ops_listen", "must differ from listen, both are %s", c.Listen)
	}
	c.checkExposure(f)
	if c.DataDir == "" {
		f.Add("data_dir", "must name a directory")
	}
	c.checkSinks(f)
}

// checkExposure notes that a listener would serve whoever comes by from
// elsewhere, unless that was said.
func (c Config) checkExposure(f *settings.Faults) {
	const mend = "is not loopback, and nothing says who may use it; make keys with `penstock key create --keys-file FILE` and set access.keys_file to it, ask for certificates with"
	if !isLoopback(c.Listen) && !c.Access.Enabled() && !c.Access.Anonymous && !c.TLS.asksAll() {
		f.Add("listen", "%s %s tls.client.ca_file, or set access.anonymous: true to let everybody send who reaches it", c.Listen, mend)
	}
	if !isLoopback(c.OpsListen) && !c.Access.OperatorIsOpen() {
		switch {
		case !c.Access.Enabled() && !c.OpsTLS.asksAll():
			f.Add("ops_listen", "%s %s ops_tls.client.ca_file, or set access.operator: open to let everybody read and change everything who reaches it", c.OpsListen, mend)
		case !c.OpsTLS.Enabled():
			f.Add("ops_listen", "%s is not loopback, and keys would cross the network in the clear; set ops_tls.cert_file and ops_tls.key_file, or listen on loopback behind something that speaks TLS", c.OpsListen)
		}
	}
}

// asksAll reports whether nobody is let in without a certificate.
func (t TLS) asksAll() bool { return t.Enabled() && t.Client.CAFile != "" && !t.Client.Optional }

// isLoopback reports whether only this machine can reach the address. A name
// other than localhost may lead anywhere, also tomorrow. What is no address is
// found elsewhere.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func checkAddress(f *settings.Faults, key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		f.Add(key, "must be host:port such as 127.0.0.1:8080, got %q", addr)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		f.Add(key, "port must be a number from 0 to 65535, got %q", port)
	}
}

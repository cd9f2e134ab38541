package access

import (
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config says who is let in. Its yaml section is "access". Without any source
// of keys everybody is let in, which is for loopback only.
type Config struct {
	// KeysFile is the file of keys.
	KeysFile string `yaml:"keys_file" help:"File of keys, one JSON object a line, which penstock key create writes. Only its owner may have access to it (0600). It is read again when it changes."`

	// Anonymous lets in who brings no key.
	Anonymous bool `yaml:"anonymous" default:"false" help:"Devices without a key are let in, as nobody: they may send as any device, and name no tenant. A key that is brought none the less must be valid. Needed to listen beyond loopback without keys."`

	// TenantTag is the name of the tag that tells the tenant.
	TenantTag string `yaml:"tenant_tag" default:"tenant" match:"[A-Za-z_][A-Za-z0-9_]{0,127}" help:"Name of the tag that each event gets with the tenant of its sender's key. No device can set it."`

	// Operator says when the operator's listener asks for keys.
	Operator string `yaml:"operator" default:"auto" oneof:"auto,keys,open" help:"When the operator's listener asks for a key with a role: keys (always), open (never: whoever reaches it can read and change everything), or auto: as soon as there is a source of keys."`

	// OpenMetrics opens /metrics to everybody.
	OpenMetrics bool `yaml:"open_metrics" default:"false" help:"/metrics of the operator's listener needs no key, as clusters expect."`

	JWT JWT `yaml:"jwt" help:"JSON Web Tokens instead of keys, as Authorization: Bearer."`
}

// JWT says which tokens are believed, and what they may do.
type JWT struct {
	// JWKSFile and JWKSURL are where the issuer's public keys are.
	JWKSFile string `yaml:"jwks_file" help:"File with the issuer's public keys (JWKS). It is read again when it changes."`
	JWKSURL  string `yaml:"jwks_url" help:"URL of the issuer's public keys (JWKS), https. They are fetched again every refresh, and at once, though not more than once a minute, for a token of a key that is not among them."`

	Refresh time.Duration `yaml:"refresh" default:"15m" min:"1s" help:"Time between two fetches of jwks_url. A key that its issuer has withdrawn counts for as long, and for cache more."`
	Cache   time.Duration `yaml:"cache" default:"30s" zero:"off" min:"0s" max:"1h" help:"How long a token that was checked is not checked again. Without it each request costs the check of a signature."`

	Issuer   string `yaml:"issuer" help:"The claim iss that a token must have."`
	Audience string `yaml:"audience" help:"What a token's claim aud must contain."`

	TenantClaim  string `yaml:"tenant_claim" default:"tenant" help:"Claim with the tenant: a string. A token need not have it."`
	DeviceClaim  string `yaml:"device_claim" help:"Claim with the one device that a token speaks for, such as sub."`
	DevicesClaim string `yaml:"devices_claim" default:"devices" help:"Claim with the devices that a token speaks for: a string or a list of them, in which * and ? are wildcards."`
	RoleClaim    string `yaml:"role_claim" help:"Claim with the role on the operator's listener: read, operate or admin. Empty gives tokens no role."`

	Leeway time.Duration `yaml:"leeway" default:"30s" min:"0s" max:"10m" help:"How far the issuer's clock may be off."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return settings.Default[Config]() }

// Values of Config.Operator.
const (
	operatorAuto = "auto"
	operatorKeys = "keys"
	operatorOpen = "open"
)

// Enabled reports whether there is a source of keys.
func (c Config) Enabled() bool { return c.KeysFile != "" || c.JWT.enabled() }

func (j JWT) enabled() bool { return j.JWKSFile != "" || j.JWKSURL != "" }

// OperatorNeedsKeys reports whether the operator's listener asks for keys.
func (c Config) OperatorNeedsKeys() bool {
	return c.Operator == operatorKeys || c.Operator == operatorAuto && c.Enabled()
}

// OperatorIsOpen reports whether it was said that the operator's listener asks
// for no keys.
func (c Config) OperatorIsOpen() bool { return c.Operator == operatorOpen }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.TenantTag == "device" {
		f.Add("tenant_tag", "must not be device, which every event has already")
	}
	if c.Operator == operatorKeys && !c.Enabled() {
		f.Add("operator", "keys needs a source of keys; set keys_file")
	}
}

// Check notes what no tag says.
func (j JWT) Check(f *settings.Faults) {
	if !j.enabled() {
		return
	}
	if j.JWKSFile != "" && j.JWKSURL != "" {
		f.Add("jwks_url", "must not be set beside jwks_file")
	}
	if j.Issuer == "" {
		f.Add("issuer", "must be set, or tokens of any issuer with the same keys would be believed")
	}
	if j.Audience == "" {
		f.Add("audience", "must be set, or tokens that were made for another service would be believed")
	}
	if j.DeviceClaim == "" && j.DevicesClaim == "" && j.RoleClaim == "" {
		f.Add("devices_claim", "must be set where device_claim and role_claim are not, or no token allows anything")
	}
	if j.JWKSURL != "" && !secureURL(j.JWKSURL) {
		f.Add("jwks_url", "must be https://..., or http:// on loopback, because whoever can change the keys on their way can make tokens")
	}
}

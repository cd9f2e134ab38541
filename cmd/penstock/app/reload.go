package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/internal/settings"
)

// reloads is the configuration in effect and how the last attempt to change
// it went.
type reloads struct {
	reloading sync.Mutex // one at a time

	mu     sync.Mutex
	cfg    config.Config
	status ReloadStatus

	ok, unchanged, refused *metrics.Counter
}

// ReloadStatus tells an operator which configuration is in effect. It is what
// /readyz shows.
type ReloadStatus struct {
	// LoadedAt is when the configuration in effect was loaded.
	LoadedAt time.Time `json:"loaded_at"`
	// LastError is why the last one was refused, empty if it was not. The
	// configuration in effect is then older than the file.
	LastError string `json:"last_error,omitempty"`
	// NeedRestart are settings that have changed in the file and take effect
	// with the next start.
	NeedRestart []string `json:"need_restart,omitempty"`
}

func (r *reloads) init(cfg config.Config, set *metrics.Set) {
	r.cfg = cfg
	r.status.LoadedAt = time.Now()
	r.ok = set.NewCounter(`penstock_config_reloads_total{result="ok"}`)
	r.unchanged = set.NewCounter(`penstock_config_reloads_total{result="unchanged"}`)
	r.refused = set.NewCounter(`penstock_config_reloads_total{result="refused"}`)
	set.NewGauge(`penstock_config_last_reload_success`, func() float64 {
		if r.get().LastError != "" {
			return 0
		}
		return 1
	})
	set.NewGauge(`penstock_config_loaded_timestamp_seconds`, func() float64 {
		return float64(r.get().LoadedAt.UnixMilli()) / 1e3
	})
}

// config returns the configuration in effect.
func (r *reloads) config() config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg
}

func (r *reloads) get() ReloadStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// live reports whether a setting takes effect without a restart.
func live(key string) bool {
	if key == "rate_limits.max_devices" || key == "rate_limits.max_tenants" {
		return false
	}
	for _, section := range []string{"sinks", "delivery", "rate_limits", "shutdown_timeout", "drain_delay", "log.level"} {
		if key == section || strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

// Reload puts the configuration that load returns into effect: sinks are
// added, changed and removed. When load fails, or a sink cannot be made, all
// of it is refused and what was in effect stays. Settings that cannot change
// while the service runs stay as well, and are named in the log. It returns
// the configuration that is in effect now.
func (a *App) Reload(ctx context.Context, load func() (config.Config, error)) (config.Config, error) {
	r := &a.reloads
	r.reloading.Lock()
	defer r.reloading.Unlock()
	next, err := load()
	if err != nil {
		return r.refuse(err)
	}
	// With the settings that the process began with: what needs a restart
	// needs it until the restart, or until it is as it was.
	needRestart := settings.Changed(a.cfg, next)
	now := a.cfg
	now.Sinks, now.Delivery = next.Sinks, next.Delivery
	now.RateLimits = next.RateLimits
	now.RateLimits.MaxDevices, now.RateLimits.MaxTenants = a.cfg.RateLimits.MaxDevices, a.cfg.RateLimits.MaxTenants
	now.ShutdownTimeout, now.DrainDelay, now.Log.Level = next.ShutdownTimeout, next.DrainDelay, next.Log.Level
	var stay []string
	for _, key := range needRestart {
		if !live(key) {
			stay = append(stay, key)
		}
	}
	if err := settings.Validate(now); err != nil {
		return r.refuse(fmt.Errorf("the configuration is valid only after a restart: %w", err))
	}
	done, err := a.sinks.apply(ctx, a.wanted(now))
	if err != nil {
		return r.refuse(err)
	}
	if err := a.limits.Set(now.RateLimits); err != nil { // it was valid above
		return r.refuse(fmt.Errorf("rate_limits: %w", err))
	}
	if len(stay) > 0 {
		a.log.Warn("settings have changed that take effect with the next start only", "keys", strings.Join(stay, " "))
	}
	a.log.Info("configuration reloaded", "sinks_added", done.added, "sinks_changed", done.changed, "sinks_removed", done.removed)
	return r.accept(now, stay), nil
}

func (r *reloads) refuse(err error) (config.Config, error) {
	r.refused.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.LastError = err.Error()
	return r.cfg, err
}

func (r *reloads) accept(cfg config.Config, needRestart []string) config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(settings.Changed(r.cfg, cfg)) == 0 {
		r.unchanged.Inc()
	} else {
		r.ok.Inc()
	}
	r.cfg = cfg
	r.status = ReloadStatus{LoadedAt: time.Now(), NeedRestart: needRestart}
	return cfg
}

// Refresh reads the enrichment sources again.
func (a *App) Refresh(ctx context.Context) error { return a.table.Reload(ctx) }

package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// keysDir is a keys file with some keys, by their ids.
type keysDir struct {
	path string
	text map[string]string
}

func newKeys(t testing.TB, records ...Record) *keysDir {
	t.Helper()
	k := &keysDir{filepath.Join(t.TempDir(), "keys.ndjson"), map[string]string{}}
	for _, r := range records {
		k.add(t, r)
	}
	return k
}

func (k *keysDir) add(t testing.TB, r Record) {
	t.Helper()
	id, text, err := Create(k.path, r)
	if err != nil {
		t.Fatal(err)
	}
	k.text[id] = text
}

func open(t testing.TB, cfg Config) *Access {
	t.Helper()
	if err := settings.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (k *keysDir) open(t testing.TB) *Access {
	t.Helper()
	cfg := DefaultConfig()
	cfg.KeysFile = k.path
	return open(t, cfg)
}

func bearer(key string) []byte { return []byte("Bearer " + key) }

// asked returns the sender of a header, or the words of the refusal.
func asked(a *Access, header []byte) (*event.Sender, string) {
	s, err := a.Authenticate("native", netip.Addr{}, header, nil)
	if err != nil {
		return nil, event.AsRefusal(err).Detail
	}
	return s, ""
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-time.Second)
	k := newKeys(t,
		Record{ID: "good", Tenant: "acme", Devices: []string{"pump-*"}},
		Record{ID: "fixed", Device: "pump-17"},
		Record{ID: "old", Devices: []string{"*"}, Expires: &past},
		Record{ID: "gone", Devices: []string{"*"}},
		Record{ID: "mqtt", Devices: []string{"*"}, Dialects: []string{"mqtt"}},
		Record{ID: "reader", Role: "read"})
	if err := Revoke(k.path, "gone", time.Now()); err != nil {
		t.Fatal(err)
	}
	a := k.open(t)

	s, why := asked(a, bearer(k.text["good"]))
	if s == nil || s.Key != "good" || s.Tenant != "acme" || !s.MaySend("pump-1") || s.MaySend("valve-1") {
		t.Errorf("%+v, %s", s, why)
	}
	if s, why := asked(a, bearer(k.text["fixed"])); s == nil || s.Device != "pump-17" || !s.MaySend("pump-17") || s.MaySend("pump-1") {
		t.Errorf("%+v, %s", s, why)
	}
	if s, why := asked(a, bearer(k.text["reader"])); s == nil || s.MaySend("pump-1") {
		t.Errorf("a key with a role only speaks for a device: %+v, %s", s, why)
	}
	stranger, err := newKey("stranger")
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := newKey("good")
	if err != nil {
		t.Fatal(err)
	}
	good := k.text["good"]
	for name, c := range map[string]struct{ header, want string }{
		"nothing":              {"", "has no key"},
		"unknown":              {"Bearer " + stranger, "not known"},
		"right id, no secret":  {"Bearer " + impostor, "not known"},
		"a typo":               {"Bearer " + good[:len(good)-1] + "!", "holds no key"},
		"a wrong checksum":     {"Bearer " + good[:len(good)-6] + "000000", "typo"},
		"expired":              {"Bearer " + k.text["old"], "expired"},
		"revoked":              {"Bearer " + k.text["gone"], "revoked"},
		"another dialect":      {"Bearer " + k.text["mqtt"], "not for this protocol"},
		"a scheme of its own":  {"Key " + good, "holds no key"},
		"two keys in a header": {"Bearer " + good + ", Bearer " + good, "holds no key"},
		"a token":              {"Bearer a.b.c", "holds no key"},
	} {
		if _, why := asked(a, []byte(c.header)); !strings.Contains(why, c.want) || strings.Contains(why, good) {
			t.Errorf("%s: %q", name, why)
		}
	}
	for key, role := range map[string]Role{"good": NoRole, "reader": Read} {
		for _, want := range []Role{Read, Operate, Admin} {
			if err := a.Permit(netip.Addr{}, []string{"Bearer " + k.text[key]}, want, nil); (err == nil) != (role >= want) {
				t.Errorf("%s as %s: %v", key, want, err)
			}
		}
	}
	twice := "Bearer " + k.text["reader"]
	if err := a.Permit(netip.Addr{}, []string{twice, twice}, Read, nil); err == nil {
		t.Error("a header twice is taken")
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	k := newKeys(t, Record{ID: "good", Devices: []string{"*"}})
	cfg := DefaultConfig()
	cfg.KeysFile, cfg.Anonymous = k.path, true
	a := open(t, cfg)
	if s, why := asked(a, nil); s != nil || why != "" {
		t.Errorf("%+v, %s", s, why)
	}
	if _, why := asked(a, []byte("Bearer nonsense")); why == "" {
		t.Error("a wrong key is taken for none")
	}
	if err := a.Permit(netip.Addr{}, nil, Read, nil); err == nil {
		t.Error("somebody without a name may look")
	}
}

// A key that is revoked stops within a second, although its file is only
// watched.
func TestRevokedWithinASecond(t *testing.T) {
	t.Parallel()
	k := newKeys(t, Record{ID: "one", Devices: []string{"*"}}, Record{ID: "two", Devices: []string{"*"}})
	a := k.open(t)
	runs(t, a)
	if err := Revoke(k.path, "one", time.Now()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for time.Since(start) < 20*time.Second {
		if _, why := asked(a, bearer(k.text["one"])); why != "" {
			t.Logf("after %s", time.Since(start))
			if _, why := asked(a, bearer(k.text["two"])); why != "" {
				t.Errorf("its neighbour: %s", why)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the revoked key is still valid")
}

func runs(t *testing.T, a *Access) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

// Whatever is wrong with the file later on, the last good keys stay.
func TestBrokenFileChangesNothing(t *testing.T) {
	t.Parallel()
	k := newKeys(t, Record{ID: "one", Devices: []string{"*"}})
	good, err := os.ReadFile(k.path)
	if err != nil {
		t.Fatal(err)
	}
	a := k.open(t)
	check := func(what, want string) {
		t.Helper()
		a.look()
		if _, why := asked(a, bearer(k.text["one"])); why != "" {
			t.Errorf("%s: %s", what, why)
		}
		if err := a.Err(); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for text, want := range map[string]string{
		"": "holds no key", "{": ":1:", "\n\n[]\n": ":3:", string(good) + string(good): `"one" is that of line 1`,
		string(good) + `{"id":"two","sha256":"00"}` + "\n":                   "64 hexadecimal digits",
		string(good) + `{"id":"two","secret":"x"}` + "\n":                    "unknown field",
		strings.Replace(string(good), `["*"]`, `[]`, 1):                      "allows nothing",
		strings.Replace(string(good), `["*"]`, `["a"],"device":"b"`, 1):      "there is devices already",
		strings.Replace(string(good), `["*"]`, `["a"],"role":"root"`, 1):     "must be one of read, operate, admin",
		strings.Replace(string(good), `["*"]`, `["a"],"tenant":"\u0000"`, 1): "control characters",
	} {
		if err := os.WriteFile(k.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(text, want)
	}
	if err := os.WriteFile(k.path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	check("mended", "")
	if err := os.Chmod(k.path, 0o640); err != nil {
		t.Fatal(err)
	}
	check("readable by others", "chmod 600")
	if err := os.Remove(k.path); err != nil {
		t.Fatal(err)
	}
	check("removed", "no such file")
}

func TestKeysFileAtStart(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.KeysFile = filepath.Join(t.TempDir(), "keys")
	start := func() error {
		_, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
		return err
	}
	if err := start(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "penstock key create") {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := Create(cfg.KeysFile, Record{ID: "a", Devices: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Create(cfg.KeysFile, Record{ID: "a", Devices: []string{"*"}}); err == nil {
		t.Error("an id twice")
	}
	if _, _, err := Create(cfg.KeysFile, Record{ID: "b"}); err == nil {
		t.Error("a key that allows nothing was made")
	}
	if err := os.Chmod(cfg.KeysFile, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file for all: %v", err)
	}
}

// Keys are exchanged all the time while requests come: none is wrongly let
// in, and none wrongly refused.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	k := newKeys(t, Record{ID: "stays", Devices: []string{"*"}}, Record{ID: "gone", Devices: []string{"*"}})
	if err := Revoke(k.path, "gone", time.Now()); err != nil {
		t.Fatal(err)
	}
	a := k.open(t)
	runs(t, a)
	stays, gone := bearer(k.text["stays"]), bearer(k.text["gone"])
	var refused, letIn, asks atomic.Int64
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asks.Add(1)
				if _, why := asked(a, stays); why != "" {
					refused.Add(1)
				}
				if _, why := asked(a, gone); why == "" {
					letIn.Add(1)
				}
			}
		})
	}
	for i := range 100 {
		k.add(t, Record{ID: fmt.Sprintf("more-%d", i), Devices: []string{"*"}})
		if i%10 == 0 {
			a.look()
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(a.keys.Load().byID) < 102 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	close(stop)
	running.Wait()
	if n := len(a.keys.Load().byID); n != 102 || refused.Load() != 0 || letIn.Load() != 0 {
		t.Errorf("%d keys at the end; of %d each, %d were wrongly refused and %d let in", n, asks.Load(), refused.Load(), letIn.Load())
	}
	t.Logf("%d requests of each, %d reloads", asks.Load(), a.reloaded.Get())
}

func TestSlowdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slowdown
		s.init()
		one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		var got []time.Duration
		for range 14 {
			got = append(got, s.failed(one, time.Now()))
		}
		for i, d := range got {
			want := time.Duration(0)
			if i >= freeFailures {
				want = min(firstDelay<<(i-freeFailures), maxDelay)
			}
			if d != want {
				t.Errorf("failure %d: %s, want %s", i+1, d, want)
			}
		}
		if d := s.failed(other, time.Now()); d != 0 {
			t.Errorf("another address waits %s", d)
		}
		time.Sleep(5 * time.Minute)
		if d := s.failed(one, time.Now()); d != 0 {
			t.Errorf("after five minutes it still waits %s", d)
		}
		// A /64 is one address, and so is one that is written as IPv6.
		for i := range 6 {
			s.failed(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+2)), time.Now())
		}
		if s.failed(other, time.Now()) == 0 {
			t.Error("a host that changes its address within its /64 is not slowed down")
		}
		// Strangers from everywhere take no more than this.
		for i := range 3 * maxAddresses {
			s.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), time.Now())
		}
		if n := s.addresses.Len(); n > maxAddresses {
			t.Errorf("%d addresses are remembered", n)
		}
		// So many wait, and no more; shutting down ends it for all.
		done := make(chan struct{})
		var waiting sync.WaitGroup
		for range maxDelayed {
			waiting.Go(func() { s.wait(time.Hour, done) })
		}
		synctest.Wait()
		if s.wait(time.Hour, done) {
			t.Error("there is no bound on how many wait")
		}
		close(done)
		waiting.Wait()
	})
}

// newBatch has an event for each "device" or "device:tenant".
func newBatch(s *event.Sender, events ...string) *event.Batch {
	var p event.Pool
	b := p.Get(100)
	b.Sender = s
	for i, e := range events {
		device, tenant, tagged := strings.Cut(e, ":")
		if tagged {
			b.AddTag("tenant", tenant)
		}
		if i%3 > 0 {
			b.AddTag("fw", "1")
		}
		b.AddField("t", 1)
		b.Commit(i, device, 1)
	}
	b.Total = len(events)
	return b
}

func shown(b *event.Batch) string {
	var out []string
	for i := range b.Events {
		e := &b.Events[i]
		s := e.Device
		for _, t := range b.Tags(e) {
			s += " " + t.Name + "=" + t.Value
		}
		out = append(out, s)
	}
	for _, r := range b.Rejections {
		out = append(out, fmt.Sprintf("%d %s %s", r.Index, r.Pointer, r.Code))
	}
	return strings.Join(out, "; ")
}

func TestScreen(t *testing.T) {
	t.Parallel()
	a := &Access{cfg: DefaultConfig()}
	acme := &event.Sender{Key: "k", Tenant: "acme", Allowed: anyOf([]string{"pump-*"})}
	plain := &event.Sender{Key: "p"}
	for _, c := range []struct {
		name   string
		sender *event.Sender
		events []string
		want   string
	}{
		{"nobody", nil, []string{"pump-1", "pump-2:acme"}, "pump-1; 1 /tags/tenant tenant_not_allowed"},
		{"no tenant", plain, []string{"pump-1", "x:"}, "pump-1; 1 /tags/tenant tenant_not_allowed"},
		{"its own", acme, []string{"pump-1", "pump-2:acme", "pump-3"}, "pump-1 tenant=acme; pump-2 fw=1 tenant=acme; pump-3 fw=1 tenant=acme"},
		{"others'", acme, []string{"pump-1:evil", "pump-2", "valve-1", "pump-3"},
			"pump-2 fw=1 tenant=acme; pump-3 tenant=acme; 0 /tags/tenant tenant_not_allowed; 2 /device device_not_allowed"},
		{"nothing", acme, nil, ""},
		{"the tenant only", acme, []string{"pump-1:evil"}, "0 /tags/tenant tenant_not_allowed"},
	} {
		b := newBatch(c.sender, c.events...)
		if err := a.Screen(b); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := shown(b); got != c.want || b.Total != len(b.Events)+b.Rejected() {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
		b.Release()
	}
	for _, s := range []*event.Sender{acme, {Device: "pump-9"}, {Allowed: anyOf(nil)}} {
		b := newBatch(s, "valve-1", "valve-2:evil")
		err := a.Screen(b)
		if err == nil || event.AsRefusal(err).Cause != event.NotAllowed || !strings.Contains(err.Error(), "valve-") {
			t.Errorf("%+v: %v", s, err)
		}
		b.Release()
	}
}

// No secret is in what is logged, counted or told.
func TestNoSecretIsTold(t *testing.T) {
	t.Parallel()
	k := newKeys(t, Record{ID: "good", Devices: []string{"*"}})
	var log bytes.Buffer
	set := metrics.NewSet()
	cfg := DefaultConfig()
	cfg.KeysFile = k.path
	a, err := New(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), set)
	if err != nil {
		t.Fatal(err)
	}
	good := k.text["good"]
	secret := good[9:]
	asked(a, bearer(good))
	_, why := asked(a, bearer(good[:len(good)-1]))
	if err := os.WriteFile(k.path, []byte(good+"\n"), 0o600); err != nil { // somebody puts the key itself there
		t.Fatal(err)
	}
	a.look()
	var text bytes.Buffer
	set.WritePrometheus(&text)
	if out := log.String() + text.String() + why + a.Err().Error(); strings.Contains(out, secret[:20]) || strings.Contains(out, secret[20:40]) {
		t.Errorf("a secret shows:\n%s", out)
	}
}

func newSet() *metrics.Set { return metrics.NewSet() }

// jwtKeysOnly is a configuration with a key.
func jwtKeysOnly(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.KeysFile = newKeys(t, Record{ID: "a", Devices: []string{"*"}}).path
	return cfg
}

// Root makes and revokes keys in a file of the service's user, who must be able
// to read it afterwards.
func TestOwnerStays(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	k := newKeys(t, Record{ID: "one", Devices: []string{"*"}})
	if err := os.Chown(k.path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	k.add(t, Record{ID: "two", Devices: []string{"*"}})
	if err := Revoke(k.path, "one", time.Now()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(k.path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 65534 || s.Gid != 65534 || info.Mode().Perm() != 0o600 {
		t.Errorf("the file belongs to %d:%d with %s", s.Uid, s.Gid, info.Mode())
	}
}

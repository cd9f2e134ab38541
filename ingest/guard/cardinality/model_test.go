package cardinality

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is what Guard is held to, with maps and strings.
type model struct {
	cfg  Config
	gen  int64
	last map[string]modelSeries
}

type modelSeries struct {
	gen                    int64
	device, metric, tenant string
}

func (m *model) advance(now time.Time) {
	m.gen = max(m.gen, now.UnixNano()/int64(m.cfg.Window))
	for s, x := range m.last {
		if m.gen-x.gen > 1 {
			delete(m.last, s)
		}
	}
}

// accepts reports whether an event passes.
func (m *model) accepts(r reading) bool {
	tags := slices.Clone(r.tags)
	slices.Sort(tags)
	began := map[string]modelSeries{}
	for _, f := range r.fields {
		// The tenant is in the tags by then.
		s := fmt.Sprintf("%q %q %q", r.device, f, tags)
		x := modelSeries{m.gen, r.tenant + "\x00" + r.device, r.tenant + "\x00" + f, r.tenant}
		if known, ok := m.last[s]; ok {
			known.gen = m.gen
			m.last[s] = known
		} else {
			began[s] = x
		}
	}
	count := func(of func(modelSeries) bool) (n int) {
		for _, x := range m.last {
			if of(x) {
				n++
			}
		}
		return n
	}
	for _, x := range began {
		if m.cfg.PerDevice > 0 && count(func(y modelSeries) bool { return x.device == y.device })+len(began) > m.cfg.PerDevice ||
			m.cfg.PerTenant > 0 && count(func(y modelSeries) bool { return x.tenant == y.tenant })+len(began) > m.cfg.PerTenant ||
			m.cfg.PerMetric > 0 && count(func(y modelSeries) bool { return x.metric == y.metric })+1 > m.cfg.PerMetric ||
			len(m.last)+len(began) > m.cfg.MaxSeries {
			return false
		}
	}
	for s, x := range began {
		m.last[s] = x
	}
	return true
}

// The guard says of each event what the model says, over generations,
// restarts and clocks that jump.
func TestModel(t *testing.T) {
	t.Parallel()
	for range 12 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			compareWithModel(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func compareWithModel(t *testing.T, random *rand.Rand) {
	cfg := DefaultConfig()
	cfg.MaxSeries = []int{1000, 1_000_000}[random.IntN(2)]
	for _, limit := range []*int{&cfg.PerDevice, &cfg.PerTenant, &cfg.PerMetric} {
		if random.IntN(3) > 0 {
			*limit = 1 + random.IntN(300)
		}
	}
	now := epoch.Add(time.Duration(random.Int64N(int64(time.Hour))))
	path := filepath.Join(t.TempDir(), "snapshot")
	g := open(t, cfg, path, now)
	m := &model{cfg: cfg, gen: now.UnixNano() / int64(cfg.Window), last: map[string]modelSeries{}}
	pick := func(prefix string, n int) string { return fmt.Sprint(prefix, random.IntN(n)) }
	accepted, rejected := 0, 0
	for step := range 2000 {
		switch random.IntN(400) {
		case 0:
			now = now.Add(time.Duration(random.Int64N(int64(150 * time.Minute))))
			g.advance(now)
			m.advance(now)
		case 1:
			// As many windows as make the generation's low bits the same again.
			now = now.Add(time.Duration(256-random.IntN(3)) * cfg.Window)
			g.advance(now)
			m.advance(now)
		case 2:
			now = now.Add(time.Duration(random.Int64N(int64(50 * time.Minute))))
			if err := g.snapshot(now); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Duration(random.Int64N(int64(80 * time.Minute))))
			g = open(t, cfg, path, now)
			m.advance(now)
		}
		r := reading{tenant: []string{"", "a", "b"}[random.IntN(3)], device: pick("d", 12)}
		for range 1 + random.IntN(4) {
			if f := pick("f", 6); !slices.Contains(r.fields, f) {
				r.fields = append(r.fields, f)
			}
		}
		r.tags = []string{"fw=" + pick("", 3), "n=" + pick("", 40)}
		if r.tenant != "" {
			r.tags = append(r.tags, "tenant="+r.tenant)
		}
		random.Shuffle(len(r.tags), func(i, j int) { r.tags[i], r.tags[j] = r.tags[j], r.tags[i] })
		want := m.accepts(r)
		rejection := screen(t, g, r)
		if want != (rejection == nil) {
			t.Fatalf("step %d, %+v: the model accepts: %v; the guard: %+v", step, r, want, rejection)
		}
		if want {
			accepted++
		} else {
			rejected++
		}
		if g.series != len(m.last) {
			t.Fatalf("step %d: %d series, want %d", step, g.series, len(m.last))
		}
	}
	checkAccounts(t, g, m)
	t.Logf("%d accepted, %d rejected; limits %d, %d, %d, %d", accepted, rejected, cfg.PerDevice, cfg.PerTenant, cfg.PerMetric, cfg.MaxSeries)
}

// checkAccounts compares the guard's accounts with the model's.
func checkAccounts(t *testing.T, g *Guard, m *model) {
	t.Helper()
	got, want := map[string]int{}, map[string]int{}
	for kind, of := range map[string]*accounts{"device": &g.devices, "metric": &g.metrics, "tenant": &g.tenants} {
		for _, a := range of.list {
			if !a.open || a.series == 0 {
				continue // one without series lives until the generation turns
			}
			name := a.name
			if kind != "tenant" {
				name = g.tenants.list[a.tenant].name + "\x00" + a.name
			}
			got[kind+" "+name] = int(a.series)
		}
	}
	for _, x := range m.last {
		want["device "+x.device]++
		want["metric "+x.metric]++
		want["tenant "+x.tenant]++
	}
	show := func(counts map[string]int) string {
		var lines []string
		for name, n := range counts {
			lines = append(lines, fmt.Sprintf("%q %d", name, n))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if show(got) != show(want) {
		t.Errorf("accounts:\n%s\nwant:\n%s", show(got), show(want))
	}
}

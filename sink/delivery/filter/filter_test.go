package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// fleetBatch has the events of some devices, each with its own labels and
// tags.
func fleetBatch(t *testing.T, pool *event.Pool) *event.Batch {
	t.Helper()
	b := pool.Get(100)
	for i, d := range []struct{ device, site, fw string }{
		{"pump-1", "north", "1"},
		{"pump-22", "south", "2"},
		{"valve-1", "north", ""},
		{"", "", ""},
	} {
		if d.device == "" {
			d.device = "stray"
		}
		b.AddField("temperature_c", 1)
		b.AddField("temperature_f", 2)
		b.AddField("door", 3)
		if d.fw != "" {
			b.AddTag("fw", d.fw)
		}
		b.AddTag("site", "what the device thinks")
		b.Commit(i, d.device, int64(i))
		if d.site != "" {
			labels, err := event.NewLabels([]event.Label{{Name: "site", Value: d.site}})
			if err != nil {
				t.Fatal(err)
			}
			b.Events[i].Labels = labels
		}
	}
	return b
}

// render is a batch as "device:field,field ...".
func render(b *event.Batch) string {
	if b == nil {
		return ""
	}
	var out []string
	for i := range b.Events {
		var names []string
		for _, f := range b.Fields(&b.Events[i]) {
			names = append(names, f.Name)
		}
		out = append(out, b.Events[i].Device+":"+strings.Join(names, ","))
	}
	return strings.Join(out, " ")
}

func TestFilter(t *testing.T) {
	t.Parallel()
	const all = "temperature_c,temperature_f,door"
	for _, c := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"everything by name", Filter{Names: []string{"*"}}, "pump-1:" + all + " pump-22:" + all + " valve-1:" + all + " stray:" + all},
		{"a glob of devices", Filter{Devices: []string{"pump-*"}}, "pump-1:" + all + " pump-22:" + all},
		{"a question mark", Filter{Devices: []string{"pump-?", "stray"}}, "pump-1:" + all + " stray:" + all},
		{"a regular expression", Filter{Devices: []string{"/(pump|valve)-[0-9]/"}}, "pump-1:" + all + " valve-1:" + all},
		{"is anchored", Filter{Devices: []string{"/pump|valve/", "pump"}}, ""},
		{"two stars", Filter{Devices: []string{"*u*-*"}}, "pump-1:" + all + " pump-22:" + all},
		{"one field", Filter{Names: []string{"door"}}, "pump-1:door pump-22:door valve-1:door stray:door"},
		{"but one field", Filter{ExcludeNames: []string{"*_f"}}, "pump-1:temperature_c,door pump-22:temperature_c,door valve-1:temperature_c,door stray:temperature_c,door"},
		{"no field of that name", Filter{Names: []string{"pressure"}}, ""},
		{"a label, enrichment wins", Filter{Labels: map[string][]string{"site": {"north"}}}, "pump-1:" + all + " valve-1:" + all},
		{"a tag as label", Filter{Labels: map[string][]string{"site": {"what*"}}}, "stray:" + all},
		{"a tag", Filter{Labels: map[string][]string{"fw": {"1", "2"}}}, "pump-1:" + all + " pump-22:" + all},
		{"a label that is missing", Filter{Labels: map[string][]string{"fw": {""}}}, "valve-1:" + all + " stray:" + all},
		{"not with this label", Filter{ExcludeLabels: map[string][]string{"fw": {"?*"}}}, "valve-1:" + all + " stray:" + all},
		{"all rules together", Filter{
			Names: []string{"temperature_*"}, ExcludeNames: []string{"temperature_f"},
			Devices: []string{"*-*"}, ExcludeDevices: []string{"valve-*"},
			Labels: map[string][]string{"site": {"north", "south"}}, ExcludeLabels: map[string][]string{"fw": {"2"}},
		}, "pump-1:temperature_c"},
		{"the last only", Filter{Devices: []string{"stray"}}, "stray:" + all},
		{"all but the last", Filter{ExcludeDevices: []string{"stray"}}, "pump-1:" + all + " pump-22:" + all + " valve-1:" + all},
	} {
		if err := settings.Validate(c.filter); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		m := New(c.filter)
		for range 2 { // the second time from memory
			b := fleetBatch(t, &event.Pool{})
			part := m.Apply(b)
			if got := render(part); got != c.want {
				t.Errorf("%s: got  %q\nwant %q", c.name, got, c.want)
			}
			if part != nil && part != b {
				part.Release()
			}
			b.Release()
		}
	}
	if New(Filter{}) != nil {
		t.Error("a filter without rules costs something")
	}
}

func TestFilterNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Filter{
		Names:         []string{"/[/", "ok"},
		Devices:       []string{"/open"},
		Labels:        map[string][]string{"site": nil, "": {"x"}},
		ExcludeLabels: map[string][]string{"fw": {"/a)|(b/"}},
	})
	if err == nil {
		t.Fatal("a filter full of faults is valid")
	}
	for _, want := range []string{`names[0]: pattern "/[/"`, `devices[0]: pattern "/open"`, "labels.site: needs", "a label without a name", `exclude_labels.fw[0]: pattern`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault says %q:\n%v", want, err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	pool := &event.Pool{}
	for name, f := range map[string]Filter{
		"all":   {Devices: []string{"device-*"}},
		"half":  {Devices: []string{"/device-[0-9]*[02468]/"}},
		"names": {Names: []string{"a"}},
		"none":  {Devices: []string{"other"}},
	} {
		m := New(f)
		batch := pool.Get(0)
		for i := range 100 {
			for _, name := range []string{"a", "b", "c"} {
				batch.AddField(name, 1)
			}
			batch.Commit(i, fmt.Sprint("device-", i), int64(i))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if part := m.Apply(batch); part != nil && part != batch {
					part.Release()
				}
			}
		})
	}
}

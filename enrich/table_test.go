package enrich

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// Later sources win, label by label, and an empty cell wins nothing.
func TestMerge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := testConfig(
		write(t, filepath.Join(dir, "1.csv"), "device,a,m,z\nboth,1,1,1\nfirst,1,1,1\n"),
		write(t, filepath.Join(dir, "2.json"), `[{"device":"both","m":"2","b":"2","zz":"2"},{"device":"second","m":"2"}]`),
		write(t, filepath.Join(dir, "3.csv"), "device,a,m\nboth,3,\nthird,3,3\n"),
	)
	table := load(t, cfg)
	want := []string{"both a=3 b=2 m=2 z=1 zz=2", "first a=1 m=1 z=1", "second m=2", "third a=3 m=3"}
	if got := dump(table.Table); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	status := table.Status()
	if status.Version != 1 || status.Devices != 4 || len(status.Sources) != 3 || status.Sources[1].Rows != 2 || status.LoadedAt.IsZero() || status.LastError != "" {
		t.Errorf("status %+v", status)
	}

	// max_labels counts what a device has in the end.
	cfg.MaxLabels = 4
	_, err := New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if want := cfg.Sources[1].Path + `:1: device "both" has 5 labels, max_labels is 4`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	table := load(t, testConfig(write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site\na,north\nbare,\n")))
	if labels, ok := table.Lookup("a"); !ok || labels.Len() != 1 {
		t.Errorf("a: %v, %v", labels, ok)
	}
	if labels, ok := table.Lookup("bare"); !ok || labels != nil {
		t.Errorf("a device without labels: %v, %v", labels, ok)
	}
	if labels, ok := table.Lookup("other"); ok || labels != nil {
		t.Errorf("an unknown device: %v, %v", labels, ok)
	}
}

func TestEnrich(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site,fw\na,north,9\nb,south,\nbare,,\n")
	devices := []string{"a", "a", "x", "b", "bare", "x", "a"}
	for _, test := range []struct {
		policy, want string
	}{
		{policyAccept, "a:fw=9,site=north a:fw=9,site=north x: b:site=south bare: x: a:fw=9,site=north"},
		{policyLabel, "a:fw=9,site=north a:fw=9,site=north x:known=no b:site=south bare: x:known=no a:fw=9,site=north"},
		{policyReject, "a:fw=9,site=north a:fw=9,site=north x: b:site=south bare: x: a:fw=9,site=north"},
	} {
		cfg := testConfig(path)
		cfg.Unknown, cfg.UnknownLabel = test.policy, "known=no"
		table := load(t, cfg)
		b := newBatch(devices, "fw", "1", "known", "yes", "rack", "7")
		table.Enrich(b)
		var got []string
		for _, e := range b.Events {
			var labels []string
			for _, l := range e.Labels.All() {
				labels = append(labels, l.Name+"="+l.Value)
			}
			got = append(got, e.Device+":"+strings.Join(labels, ","))
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%s: got %s\nwant %s", test.policy, text, test.want)
		}
		table.wantMetric(`penstock_enrich_lookups_total{result="hit"}`, "5")
		table.wantMetric(`penstock_enrich_lookups_total{result="miss"}`, "2")
		conflicts := "3" // fw of a
		if test.policy == policyLabel {
			conflicts = "5" // and known of x
		}
		table.wantMetric(`penstock_enrich_tag_conflicts_total`, conflicts)
	}
}

// The events of an envelope share their tags; each of them counts.
func TestConflictsOfSharedTags(t *testing.T) {
	t.Parallel()
	table := load(t, testConfig(write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site,rack\na,north,1\nb,,\nc,south,\n")))
	var pool event.Pool
	b := pool.Get(0)
	b.AddTag("site", "own")
	b.AddTag("rack", "own")
	b.ShareTags()
	for i, device := range []string{"a", "a", "b", "a", "c"} {
		b.AddField("v", 1)
		b.Commit(i, device, 1)
	}
	b.AddField("v", 1)
	b.AddTag("site", "own")
	b.Commit(5, "a", 1)
	b.UnshareTags()
	b.AddField("v", 1)
	b.Commit(6, "a", 1)
	table.Enrich(b)
	table.wantMetric(`penstock_enrich_tag_conflicts_total`, "8") // 2 + 2 + 0 + 2 + 1, then 1 and 0
}

func TestScreen(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site\na,north\nbare,\n")
	devices := []string{"x", "a", "x", "y\"", "bare"}

	cfg := testConfig(path)
	table := load(t, cfg)
	b := newBatch(devices)
	table.Screen(b)
	if len(b.Events) != 5 || b.Rejected() != 0 {
		t.Errorf("accept: %d events, %d rejected", len(b.Events), b.Rejected())
	}

	cfg.Unknown = policyReject
	table = load(t, cfg)
	b = newBatch(devices)
	b.Total++
	b.Reject(1000, event.NoValues)
	table.Screen(b)
	if len(b.Events) != 2 || b.Events[0].Device != "a" || b.Events[1].Device != "bare" || b.Fields(&b.Events[1])[0].Value != 4 {
		t.Errorf("reject: kept %+v", b.Events)
	}
	if b.RejectedBy(event.UnknownDevice) != 3 || b.Total != len(b.Events)+b.Rejected() {
		t.Errorf("%d unknown, %d kept, %d rejected of %d", b.RejectedBy(event.UnknownDevice), len(b.Events), b.Rejected(), b.Total)
	}
	want := []event.Rejection{
		{Index: 0, Pointer: "/device", Code: event.UnknownDevice, Detail: `device "x" is not in the enrichment table`},
		{Index: 2, Pointer: "/device", Code: event.UnknownDevice, Detail: `device "x" is not in the enrichment table`},
		{Index: 3, Pointer: "/device", Code: event.UnknownDevice, Detail: `device "y\"" is not in the enrichment table`},
		{Index: 1000, Code: event.NoValues},
	}
	if !slices.Equal(b.Rejections, want) {
		t.Errorf("got  %+v\nwant %+v", b.Rejections, want)
	}

	// The list is bounded, the count is not.
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprint("unknown-", i)
	}
	b = newBatch(many)
	table.Screen(b)
	if len(b.Events) != 0 || len(b.Rejections) != event.MaxRejections || b.Rejected() != 300 {
		t.Errorf("%d events, %d listed, %d rejected", len(b.Events), len(b.Rejections), b.Rejected())
	}
}

// Devices with the same labels share one pointer, and so do two versions of
// the table: sinks cache under it.
func TestSharedLabels(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site\na,north\nb,north\nc,south\n")
	table := load(t, testConfig(path))
	a, _ := table.Lookup("a")
	b, _ := table.Lookup("b")
	c, _ := table.Lookup("c")
	if a != b || a == c {
		t.Errorf("a %p, b %p, c %p", a, b, c)
	}

	write(t, path, "device,floor,site\nc,,west\na,,north\nb,2,north\nd,,north\n")
	if err := table.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, _ := table.Lookup("a"); again != a {
		t.Error("a has got new labels that are equal to the old ones")
	}
	if d, _ := table.Lookup("d"); d != a {
		t.Error("d has got labels of its own, equal to those of a")
	}
	if again, _ := table.Lookup("b"); again == b || again.Len() != 2 {
		t.Errorf("b: %v", again.All())
	}
	if again, _ := table.Lookup("c"); again == c || value(table.Table, "c", "site") != "west" {
		t.Errorf("c: %v", again.All())
	}
}

// Without sources there is nothing to do, unless unknown devices are labelled.
func TestNoSources(t *testing.T) {
	t.Parallel()
	table := open(t, testConfig())
	b := newBatch([]string{"a"})
	table.Enrich(b)
	table.Screen(b)
	if len(b.Events) != 1 || b.Events[0].Labels != nil || table.Len() != 0 {
		t.Errorf("%+v", b.Events)
	}
	table.wantMetric(`penstock_enrich_lookups_total{result="miss"}`, "0")
	if err := table.Reload(t.Context()); err != nil || table.Version() != 1 {
		t.Errorf("reload: %v, version %d", err, table.Version())
	}

	cfg := testConfig()
	cfg.Unknown = policyLabel
	table = load(t, cfg)
	table.Enrich(b)
	if !b.Events[0].Labels.Has("enriched") {
		t.Errorf("labels %v", b.Events[0].Labels.All())
	}
}

//go:build !race

package access

import (
	"encoding/base64"
	"net/netip"
	"testing"
)

func TestNoAllocations(t *testing.T) {
	k := newKeys(t, Record{ID: "good", Tenant: "acme", Devices: []string{"pump-*", "valve-1"}})
	a := k.open(t)
	from := netip.MustParseAddr("192.0.2.1")
	basic := []byte("Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+k.text["good"])))
	for name, header := range map[string][]byte{"bearer": bearer(k.text["good"]), "basic": basic} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := a.Authenticate("native", from, header, nil); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	s, _ := asked(a, basic)
	b := newBatch(s, "pump-1", "pump-1", "pump-2", "valve-1")
	screen := func() {
		if err := a.Screen(b); err != nil || len(b.Events) != 4 {
			t.Fatal(err)
		}
	}
	for range 5000 { // its arena grows, as a batch is screened once
		screen()
	}
	if n := testing.AllocsPerRun(100, screen); n != 0 {
		t.Errorf("Screen: %v allocations", n)
	}
}

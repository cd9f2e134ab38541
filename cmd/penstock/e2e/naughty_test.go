package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// TestNaughtyStrings sends each of the 515 as a device and as a tag's value.
// It comes back byte for byte, or was rejected with the right code.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(shared(t, "corpora/naughty-strings/blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var naughty []string
	if err := json.Unmarshal(text, &naughty); err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir())
	wantDevices, wantTags := map[string]bool{}, map[string]bool{}
	rejected := 0
	for i, x := range naughty {
		quoted, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		code := deviceFault(x)
		s.postExpecting(fmt.Sprintf(`{"device":%s,"values":{"as_device":%d}}`, quoted, i), code)
		if code == "" {
			wantDevices[x] = true
		} else {
			rejected++
		}
		code = ""
		if len(x) > 256 {
			code = "tag_too_long"
		}
		s.postExpecting(fmt.Sprintf(`{"device":"tagged","values":{"as_tag":%d},"tags":{"naughty":%s}}`, i, quoted), code)
		if code == "" {
			wantTags[x] = true
		} else {
			rejected++
		}
	}
	t.Logf("%d strings: %d devices and %d tag values stored, %d rejected", len(naughty), len(wantDevices), len(wantTags), rejected)

	for _, c := range []struct {
		metric, label string
		want          map[string]bool
	}{{"as_device", "device", wantDevices}, {"as_tag", "naughty", wantTags}} {
		got := map[string]bool{}
		eventually(t, 10*time.Second, func() error {
			clear(got)
			for _, x := range s.mustExport(t, c.metric) {
				got[x.Metric[c.label]] = true // an empty tag is no label
			}
			if len(got) != len(c.want) {
				return fmt.Errorf("%s: %d distinct strings are stored, want %d", c.metric, len(got), len(c.want))
			}
			return nil
		})
		for x := range c.want {
			if !got[x] {
				t.Errorf("%s: %q is not among what is stored", c.metric, x)
			}
		}
	}
}

// deviceFault returns the code with which a device's name is rejected.
func deviceFault(device string) string {
	if len(device) == 0 || len(device) > 128 || !utf8.ValidString(device) {
		return "invalid_device"
	}
	for _, r := range device {
		if unicode.IsControl(r) {
			return "invalid_device"
		}
	}
	return ""
}

// postExpecting posts one event, and expects it to be stored or, if code is
// not empty, rejected with it.
func (s *server) postExpecting(body, code string) {
	s.t.Helper()
	if code == "" {
		s.mustPost(body, 204)
		return
	}
	a := s.mustPost(body, 422)
	var problem struct{ Errors []struct{ Code string } }
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || len(problem.Errors) != 1 || problem.Errors[0].Code != code {
		s.t.Errorf("answer %s, want code %s; error %v", a.body, code, err)
	}
}

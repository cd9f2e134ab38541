package decode

import (
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	bad := Config{
		MaxEvents: -1, MaxFields: 1025, MaxTags: -1, MaxTagBytes: 1 << 16,
		MaxDeviceBytes: -1, MaxNameBytes: -1, MaxPast: -1, MaxFuture: -1,
	}
	text := ""
	if err := settings.Validate(bad); err != nil {
		text = err.Error()
	}
	for field := range reflect.TypeFor[Config]().Fields() {
		if key := field.Tag.Get("yaml"); !strings.Contains(text, key+": ") {
			t.Errorf("%s is missing in %q", key, text)
		}
	}
}

func TestZeroConfigIsTheDefault(t *testing.T) {
	t.Parallel()
	want := DefaultConfig()
	want.MaxPast = noLimit
	if got := (Config{}).withDefaults(); got != want {
		t.Errorf("got %+v", got)
	}
	custom := want
	custom.MaxTags = 3
	if got := custom.withDefaults(); got != custom {
		t.Errorf("got %+v", got)
	}
}

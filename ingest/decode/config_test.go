package decode

import (
	"reflect"
	"strings"
	"testing"
)

func TestValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	bad := Config{
		MaxEvents: -1, MaxFields: maxMaxFields + 1, MaxTags: -1, MaxTagBytes: maxMaxBytes + 1,
		MaxDeviceBytes: -1, MaxNameBytes: -1, MaxPast: -1, MaxFuture: -1,
	}
	text := ""
	if err := bad.Validate(); err != nil {
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

package settings

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

type limited struct {
	Inner
	Type  string        `yaml:"type" default:"a" oneof:"a,b"`
	Size  int64         `yaml:"size" unit:"bytes" default:"64KiB" min:"4KiB" max:"1GiB"`
	Wait  time.Duration `yaml:"wait" default:"1d" zero:"for ever" min:"1s"`
	Share float64       `yaml:"share" default:"0.5" min:"0.1" max:"0.9"`
	Word  string        `yaml:"word" default:"x" match:"[a-z]+|[0-9]+"`
	Pin   int           `yaml:"pin" secret:"true" default:"1000" min:"1000"`
	Tasks uint8         `yaml:"tasks" max:"9"`
	Items []listed      `yaml:"items"`
	A     particular    `yaml:"a" when:"a"`
	B     particular    `yaml:"b" when:"b"`
	Own   string        // not a setting
}

// Inner is embedded, and its Check is promoted.
type Inner struct {
	Low  int `yaml:"low" min:"0"`
	High int `yaml:"high" min:"0"`
}

func (c Inner) Check(f *Faults) {
	if c.Low > c.High {
		f.Add("low", "must be at most high (%d), got %d", c.High, c.Low)
	}
}

type listed struct {
	Name string `yaml:"name" oneof:"x,y"`
}

type particular struct {
	Depth int `yaml:"depth" min:"1"`
}

func TestDefaultsComeFromTags(t *testing.T) {
	t.Parallel()
	want := limited{Type: "a", Size: 64 << 10, Wait: 24 * time.Hour, Share: 0.5, Word: "x", Pin: 1000}
	if got := Default[limited](); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	got := limited{Type: "b", Wait: time.Second, Own: "kept"}
	FillZero(&got)
	want.Type, want.Wait, want.Own = "b", time.Second, "kept"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("filled: got %+v", got)
	}
	SetDefaults(reflect.ValueOf(&got).Elem())
	want.Wait, want.Own = 24*time.Hour, ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("set again: got %+v", got)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	good := Default[limited]()
	good.A.Depth = 1
	if err := Validate(good); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	good.Wait, good.Size, good.Share, good.Word, good.Tasks = 0, 1<<30, 0.1, "12", 9
	if err := Validate(good); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	bad := limited{
		Inner: Inner{Low: 5, High: 1}, Type: "b", Size: 1, Wait: 1, Share: math.NaN(), Word: "a1", Pin: 123, Tasks: 10,
		Items: []listed{{"x"}, {"z"}},
	}
	want := strings.TrimSpace(`
size: must be between 4KiB and 1GiB, got 1
wait: must be 0 (for ever) or at least 1s, got 1ns
share: must be between 0.1 and 0.9, got NaN
word: must match [a-z]+|[0-9]+, got "a1"
pin: must be at least 1000
tasks: must be at most 9, got 10
items[1].name: must be x or y, got "z"
b.depth: must be at least 1, got 0
low: must be at most high (1), got 5`)
	if err := Validate(bad); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	bad.Low = -1 // one fault for a key: what Check would say is then of no use
	bad.High = -2
	if err := Validate(bad); strings.Count(err.Error(), "low: ") != 1 || !strings.HasPrefix(err.Error(), "low: must be 0 or more, got -1\n") {
		t.Errorf("got\n%v", err)
	}
}

func TestFaultsFindTheirPlace(t *testing.T) {
	t.Parallel()
	var below, all Faults
	below.Add("", "is missing")
	below.Add("size", "is %d", 5)
	all.Under("sinks[2]", below)
	all.Under("", below)
	if got, want := all.Error(), "sinks[2]: is missing\nsinks[2].size: is 5\nis missing\nsize: is 5"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if Faults(nil).Err() != nil || AsFaults(Faults(nil).Err()) != nil || len(AsFaults(all.Err())) != 4 {
		t.Error("no fault is an error, or faults are none")
	}
}

// TestMistakesInAStructShow: they are found by whoever first uses the struct.
func TestMistakesInAStructShow(t *testing.T) {
	t.Parallel()
	panics := func(name string, f func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: nobody notices", name)
			}
		}()
		f()
	}
	panics("a default", func() {
		Default[struct {
			N int `yaml:"n" default:"x"`
		}]()
	})
	panics("a limit", func() {
		_ = Validate(struct {
			N int `yaml:"n" min:"x"`
		}{})
	})
	panics("a type", func() {
		Fields(reflect.TypeFor[struct {
			N chan int `yaml:"n"`
		}]())
	})
	panics("a limit of words", func() {
		_ = Validate(struct {
			S string `yaml:"s" min:"1"`
		}{})
	})
}

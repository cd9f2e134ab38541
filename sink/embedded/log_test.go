package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/metrics"
)

func TestEngineLog(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"info", "info\tlib/storage/a.go:1\tflushed\tit\n", "level=DEBUG msg=engine caller=lib/storage/a.go:1 said=\"flushed\\tit\"\n"},
		{"warn", "warn\ta.go:1\tslow\n", "level=WARN msg=engine caller=a.go:1 said=slow\n"},
		{"fatal", "fatal\ta.go:1\tno disk\n", "level=ERROR msg=engine caller=a.go:1 said=\"no disk\"\n"},
		{"panic of several lines", "panic\ta.go:1\tone\ntwo\x1b[2J\n", "level=ERROR msg=engine caller=a.go:1 said=\"one\\ntwo\\x1b[2J\"\n"},
		{"another form", "what?\n", "level=ERROR msg=engine caller=\"\" said=\"what?\\n\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			w := &logWriter{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			}))}
			if n, err := w.Write([]byte(c.in)); n != len(c.in) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			if out.String() != c.want {
				t.Errorf("got  %s\nwant %s", out.String(), c.want)
			}
		})
	}
}

// TestEngineLogsHere looks whether the engine's own lines arrive.
func TestEngineLogsHere(t *testing.T) {
	var out syncBuffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(t.TempDir(), testConfig(), log, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	logger.Warnf("about %q", "a device\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=DEBUG msg=engine", "opening storage at", "level=WARN msg=engine", `said="about \"a device\\n\""`, "successfully closed the storage"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, out.String())
		}
	}
}

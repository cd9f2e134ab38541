package embedded

import (
	"bytes"
	"context"
	"log/slog"
)

// logWriter is the engine's log output. It turns lines of the form
//
//	level TAB file:line TAB message NEWLINE
//
// into records of log. The engine serializes its writes, each of which is one
// whole message; after one of level fatal or panic it ends the process.
type logWriter struct{ log *slog.Logger }

// level returns the lowest level that the engine should format. What it tells
// at level info is for those who look into the engine, so it becomes debug.
func (w *logWriter) level() string {
	if w.log.Enabled(context.Background(), slog.LevelDebug) {
		return "INFO"
	}
	return "WARN"
}

func (w *logWriter) Write(p []byte) (int, error) {
	level, rest, _ := bytes.Cut(bytes.TrimSuffix(p, []byte("\n")), []byte("\t"))
	caller, msg, ok := bytes.Cut(rest, []byte("\t"))
	if !ok {
		caller, msg = nil, p
	}
	l := slog.LevelError
	switch string(level) {
	case "info":
		l = slog.LevelDebug
	case "warn":
		l = slog.LevelWarn
	}
	w.log.LogAttrs(context.Background(), l, "engine",
		slog.String("caller", string(caller)), slog.String("said", string(msg)))
	return len(p), nil
}

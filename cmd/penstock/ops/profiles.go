package ops

import (
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
)

// profiles returns the handler of everything below /debug/pprof/.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", serveCommandLine)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveCommandLine takes the place of pprof.Cmdline, in the same form, and
// leaves out the values of settings, some of which are secrets.
func serveCommandLine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, strings.Join(withoutValues(os.Args), "\x00")) // an error means that the client has gone
}

// withoutValues returns arguments with "..." for what follows an equals sign.
// --set KEY=VALUE is the only way for a secret to get onto the command line.
func withoutValues(args []string) []string {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = arg
		if name, _, ok := strings.Cut(arg, "="); ok {
			shown[i] = name + "=..."
		}
	}
	return shown
}

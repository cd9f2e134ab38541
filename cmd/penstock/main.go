// Command penstock takes telemetry from devices and stores it as time series.
//
// Exit status: 0 is success, 1 a failure, 2 a wrong command line or
// configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/penstock-io/penstock/cmd/penstock/app"
	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/internal/settings"
)

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	p := program{
		env:     os.Environ(),
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		signals: signals,
		open: func(cfg config.Config, log *slog.Logger) (service, error) {
			tuneRuntime(os.Environ())
			return app.New(cfg, log)
		},
	}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}

// service is the part of app.App that the command line uses.
type service interface {
	// Run serves until ctx is done and everything is shut down.
	Run(ctx context.Context) error
	// Reload puts what load returns into effect, and returns what is in effect
	// then: the old configuration if there is an error.
	Reload(ctx context.Context, load func() (config.Config, error)) (config.Config, error)
	// Refresh reads the enrichment sources again.
	Refresh(ctx context.Context) error
	// Banner tells a person, in a few lines, where to post and where to look.
	Banner() []string
}

// program is one run of the command with everything that it takes from the
// process, so that a test can run it without one.
type program struct {
	env            []string
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	open           func(config.Config, *slog.Logger) (service, error)
}

// run executes one command line and returns the exit status. After a second
// signal to stop it returns while the service still runs: its caller exits.
func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var grammar commands
	helped := false
	parser, err := kong.New(&grammar,
		kong.Name("penstock"),
		kong.Description("Takes telemetry from devices over HTTP, validates and enriches it, and stores it as time series.\n\n"+
			"`penstock serve` needs no configuration."),
		flagDefaults(),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{{Key: "settings", Title: "Settings (over those of the file and of the environment):"}}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return p.fail(fmt.Errorf("BUG: %w", err))
	}
	command, err := parser.Parse(args)
	if helped {
		// Kong expects its exit function not to return, and goes on to find
		// that the command is incomplete.
		return exitOK
	}
	if err != nil {
		return p.fail(usageError{err})
	}
	return p.fail(command.Run(p))
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// fail tells the user about err, one fault per line, and returns the exit
// status for it.
func (p *program) fail(err error) int {
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(p.stderr, "penstock: %s\n", strings.TrimRight(line, "\n"))
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(p.stderr, "penstock: `penstock --help` and `penstock COMMAND --help` show what there is")
		return exitUsage
	}
	if len(settings.AsFaults(err)) > 0 {
		fmt.Fprintln(p.stderr, "penstock: `penstock config reference` lists every setting")
		return exitUsage
	}
	return exitFailure
}

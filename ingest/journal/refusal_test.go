package journal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestErrorsNameTheirCause checks that an error of the journal, wrapped as it
// may be, tells the listener its cause and the operator what happened.
func TestErrorsNameTheirCause(t *testing.T) {
	t.Parallel()
	for err, cause := range map[error]event.Cause{
		ErrFull:     event.JournalFull,
		ErrFailed:   event.JournalFailed,
		ErrClosed:   event.Draining,
		ErrTooLarge: event.TooLarge,
		ErrLocked:   event.Unavailable, // of Open; no sender hears of it
	} {
		wrapped := fmt.Errorf("%w: 5 bytes: %w", err, errors.New("disk on fire"))
		if r := event.AsRefusal(wrapped); r.Cause != cause || !errors.Is(wrapped, err) || (cause != event.Unavailable) != (r.Detail != "") {
			t.Errorf("%v: got cause %s, want %s, with a detail for the sender", err, r.Cause, cause)
		}
	}
	if got := fmt.Errorf("%w: 5 bytes", ErrFull).Error(); got != "journal is full: 5 bytes" {
		t.Errorf("the operator is told %q", got)
	}
}

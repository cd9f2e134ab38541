package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestSenderWaitsAsLongAsItIsAsked(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{t: t, answer: func(n int, _ Envelope) (int, int, string) {
				if n < 2 {
					return status, 10, ""
				}
				return 204, 0, ""
			}}
			c := s.client()
			sender := &Sender{Client: c, Device: "d", Boot: "b"}
			if _, err := sender.Send(t.Context(), events(3)); err != nil {
				t.Fatal(err)
			}
			if len(s.got) != 3 {
				t.Fatalf("%d requests, want 3", len(s.got))
			}
			for i := 1; i < 3; i++ {
				if gap := s.got[i].at.Sub(s.got[i-1].at); gap < 10*time.Second || gap > 15*time.Second {
					t.Errorf("%d: waited %s, want 10 to 15 s", status, gap)
				}
				if s.got[i].Boot != "b" || s.got[i].Seq != s.got[0].Seq || fmt.Sprint(s.got[i].Events) != fmt.Sprint(s.got[0].Events) {
					t.Errorf("%d: what was sent again is another envelope: %+v", status, s.got[i].Envelope)
				}
			}
			n := c.Stats.Counts()
			if n.Sent != 3 || n.Acknowledged != 3 || n.Retries != 2 || n.Statuses[status] != 2 || n.Statuses[204] != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestSenderBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(n int, _ Envelope) (int, int, string) {
			if n < 12 {
				return 500, 0, ""
			}
			return 204, 0, ""
		}}
		sender := &Sender{Client: s.client(), Device: "d"}
		if _, err := sender.Send(t.Context(), events(1)); err != nil {
			t.Fatal(err)
		}
		wait := firstWait
		for i := 1; i < len(s.got); i++ {
			gap := s.got[i].at.Sub(s.got[i-1].at)
			if gap < wait/2 || gap > wait {
				t.Errorf("pause %d is %s, want %s to %s", i, gap, wait/2, wait)
			}
			wait = min(2*wait, longWait)
		}
	})
}

func TestSenderGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(int, Envelope) (int, int, string) { return 503, 3600, "" }}
		c := s.client()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sender := &Sender{Client: c, Device: "d"}
		if _, err := sender.Send(ctx, events(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := c.Stats.Counts(); n.Undelivered != 2 || n.Sent != 2 {
			t.Errorf("%+v", n)
		}
	})
}

func TestSenderTakesRejectionsForGood(t *testing.T) {
	t.Parallel()
	const listed = `{"accepted":3,"rejected":2,"errors":[{"index":1,"code":"type_mismatch"},{"index":1,"code":"invalid_name"},{"index":4,"code":"ts_out_of_range"}]}`
	for name, c := range map[string]struct {
		status       int
		body         string
		acknowledged uint64
		rejected     map[string]uint64
		err          error
	}{
		"partial":   {200, listed, 3, map[string]uint64{"type_mismatch": 1, "ts_out_of_range": 1}, nil},
		"truncated": {200, `{"rejected":4,"errors":[{"index":0,"code":"no_values"}],"truncated":true}`, 1, map[string]uint64{"no_values": 1, "unlisted": 3}, nil},
		"all":       {422, `{"title":"x","errors":[{"index":0,"code":"a"},{"index":1,"code":"a"},{"index":2,"code":"a"},{"index":3,"code":"a"},{"index":4,"code":"b"}]}`, 0, map[string]uint64{"a": 4, "b": 1}, nil},
		"malformed": {400, "bad JSON", 0, map[string]uint64{"http_400": 5}, nil},
		"forbidden": {403, "", 0, map[string]uint64{"http_403": 5}, ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stub{t: t, answer: func(int, Envelope) (int, int, string) { return c.status, 0, c.body }}
			client := s.client()
			sender := &Sender{Client: client, Device: "d"}
			if _, err := sender.Send(t.Context(), events(5)); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			n := client.Stats.Counts()
			if len(s.got) != 1 {
				t.Errorf("%d requests: a rejection must not be sent again", len(s.got))
			}
			if n.Acknowledged != c.acknowledged || fmt.Sprint(n.Rejected) != fmt.Sprint(c.rejected) {
				t.Errorf("acknowledged %d, rejected %v; want %d, %v", n.Acknowledged, n.Rejected, c.acknowledged, c.rejected)
			}
		})
	}
}

func TestSenderSplitsWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := &stub{t: t}
	seqs := map[uint64]bool{}
	var stored []int64
	s.answer = func(_ int, e Envelope) (int, int, string) {
		if len(e.Events) > 3 {
			return 413, 0, ""
		}
		if seqs[e.Seq] {
			t.Errorf("seq %d is used twice", e.Seq)
		}
		seqs[e.Seq] = true
		for _, x := range e.Events {
			stored = append(stored, x.TS)
		}
		return 204, 0, ""
	}
	c := s.client()
	sender := &Sender{Client: c, Device: "d"}
	if _, err := sender.Send(t.Context(), events(10)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(stored) != "[0 1 2 3 4 5 6 7 8 9]" {
		t.Errorf("stored %v", stored)
	}
	if n := c.Stats.Counts(); n.Sent != 10 || n.Acknowledged != 10 || n.RejectedTotal() != 0 {
		t.Errorf("%+v", n)
	}
}

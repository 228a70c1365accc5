package control

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSharedAnswersAreReadAnewOncePerToken(t *testing.T) {
	m, reads := NewSharedMemo(time.Now), 0
	read := func() {
		t.Helper()
		if _, _, err := m.get(context.Background(), memoKey{"guardduty.members", "222233334444", "eu-central-1"}, asks{age: SharedMaxAge}, func(context.Context) (any, time.Time, error) {
			reads++
			return reads, time.Time{}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name, token string
		want        int
	}{
		{"the first look", "", 1}, {"a look at another account", "", 1}, {"somebody asks for a new look", "a", 2},
		{"the same token in another account", "a", 2}, {"and again by another token", "b", 3}, {"the first token, late", "a", 3},
	} {
		if step.token != "" {
			m.Renew(step.token)
		}
		if read(); reads != step.want {
			t.Errorf("%s: %d reads, want %d", step.name, reads, step.want)
		}
	}
	for range 2 * rememberedTokens {
		m.Renew(time.Now().String())
	}
	if len(m.renewed) > rememberedTokens {
		t.Errorf("%d tokens are remembered", len(m.renewed))
	}
}

func TestSharedAnswersThatNobodyAsksForAreDropped(t *testing.T) {
	now := time.Now()
	m := NewSharedMemo(func() time.Time { return now })
	for i := range 100 {
		k := memoKey{"guardduty.members", "222233334444", strconv.Itoa(i)}
		if _, _, err := m.get(context.Background(), k, asks{age: SharedMaxAge}, func(context.Context) (any, time.Time, error) { return i, time.Time{}, nil }); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.entries); n > 61 {
		t.Errorf("%d answers of the last 100 minutes are kept", n)
	}
}

// Whoever needs a newer answer waits for it; the others go on with the one that is there.
func TestAnAccountThatNeedsANewerAnswerKeepsNoOtherFromTheOneThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reads := NewSharedMemo(time.Now), 0
		ask := func(a asks) any {
			v, _, err := m.get(t.Context(), memoKey{"guardduty.members", "222233334444", "eu-central-1"}, a, func(context.Context) (any, time.Time, error) {
				reads++
				n := reads
				time.Sleep(30 * time.Second)
				return n, time.Time{}, nil
			})
			if err != nil {
				return err
			}
			return v
		}
		whichever, newer := asks{age: SharedMaxAge, patience: time.Second}, asks{age: time.Nanosecond, patience: time.Second}
		results := []any{ask(whichever)}
		time.Sleep(time.Minute)
		results = append(results, ask(whichever), ask(newer), ask(whichever))
		time.Sleep(10 * time.Second)
		results = append(results, ask(newer), ask(whichever))
		time.Sleep(time.Minute)
		results = append(results, ask(whichever))
		if diff := cmp.Diff([]any{errLate, 1, errLate, 1, errLate, 1, 3}, results, cmpopts.EquateErrors()); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if reads != 3 {
			t.Errorf("%d reads, want the first and two newer ones", reads)
		}
	})
}

// One waits in vain for all: thousands of accounts ask for the members while they are read, which takes half a minute.
func TestNobodyWaitsForWhatAnotherHasWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewSharedMemo(time.Now)
		ask := func(patience time.Duration) (waited time.Duration, err error) {
			began := time.Now()
			_, _, err = m.get(t.Context(), memoKey{"guardduty.members", "222233334444", "eu-central-1"}, asks{SharedMaxAge, patience},
				func(context.Context) (any, time.Time, error) {
					time.Sleep(30 * time.Second)
					return 1, time.Time{}, nil
				})
			return time.Since(began), err
		}
		type took struct {
			Waited time.Duration
			Late   bool
		}
		var all []took
		for _, patience := range []time.Duration{2 * time.Second, 2 * time.Second, 0, 2 * time.Second} {
			waited, err := ask(patience)
			all = append(all, took{waited, errors.Is(err, errLate)})
		}
		// The third has all the time there is; the fourth finds the answer.
		if diff := cmp.Diff([]took{{2 * time.Second, true}, {0, true}, {28 * time.Second, false}, {0, false}}, all); diff != "" {
			t.Errorf("waited (-want +got):\n%s", diff)
		}
	})
}

func TestWhoWaitsForNothingIsGivenWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewSharedMemo(time.Now)
		key := memoKey{"guardduty.members", "222233334444", "eu-central-1"}
		do := func(context.Context) (any, time.Time, error) {
			time.Sleep(time.Second)
			return "members", time.Time{}, nil
		}
		atOnce := asks{SharedMaxAge, NoPatience}
		if _, _, err := m.get(t.Context(), key, atOnce, do); !errors.Is(err, errLate) {
			t.Fatalf("before it is there: %v", err)
		}
		if _, _, err := m.get(t.Context(), key, asks{SharedMaxAge, 2 * time.Second}, do); err != nil {
			t.Fatalf("that somebody did not wait must keep nobody else from waiting: %v", err)
		}
		for range 100 {
			if _, _, err := m.get(t.Context(), key, atOnce, do); err != nil {
				t.Fatalf("once it is there: %v", err)
			}
		}
	})
}

package control

import (
	"context"
	"testing"
	"time"
)

func TestSharedAnswersAreReadAnewOncePerToken(t *testing.T) {
	m, reads, now := NewSharedMemo(), 0, time.Now()
	read := func() {
		t.Helper()
		if _, _, err := m.get(context.Background(), memoKey{"guardduty.members", "222233334444", "eu-central-1"}, now, func(context.Context) (any, error) {
			reads++
			return reads, nil
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

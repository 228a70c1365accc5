package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// named is what the check of a control in Ireland is to read live.
func (s *scene) named(controlID string) (named []string) {
	p := makePlan(s.world())
	p.each(func(_ *row, c *check) {
		if c.id.Control == controlID && c.id.Region == ireland {
			named = c.task.Named()
		}
	})
	return named
}

func naming(names ...string) func(*cloud.Event) {
	return func(e *cloud.Event) { e.Resources = names }
}

func TestACheckIsToldWhomEventsName(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.event(volumes, ireland, naming("alice", "arn:alice"))
	s.event(flag, ireland, naming("not hers"))
	s.event(volumes, frankfurt, naming("not here"))
	same(t, "while the event is open", []string{"alice", "arn:alice"}, s.named(volumes))
	s.pass()
	same(t, "events still open", 0, s.marks.open())
	s.later(time.Minute)
	s.event(volumes, ireland, naming("bob"))
	same(t, "with a later one, which goes first", []string{"bob", "alice", "arn:alice"}, s.named(volumes))
	s.pass()
	s.later(4 * time.Hour)
	same(t, "as long as AWS may show what was before", []string{"bob", "alice", "arn:alice"}, s.named(volumes))
	s.later(rememberedFor)
	same(t, "how many in the end", 0, len(s.named(volumes)))
}

func TestACheckIsToldWhatDepartedBefore(t *testing.T) {
	s := newScene(t)
	s.leave(volumes, ireland, "arn:vol-1")
	s.leave(flag, ireland, "arn:flag")
	s.pass()
	s.restart()
	same(t, "after a restart", []string{"arn:vol-1"}, s.named(volumes))
	s.event(volumes, ireland, naming("vol-2"))
	same(t, "beside whom an event names", []string{"vol-2", "arn:vol-1"}, s.named(volumes))
}

func TestACheckIsToldOfSoManyAtMost(t *testing.T) {
	s := newScene(t)
	for i := range 30 {
		names := make([]string, 10)
		for k := range names {
			names[k] = fmt.Sprint(i, "-", k)
		}
		s.event(volumes, ireland, naming(names...))
	}
	got := s.named(volumes)
	same(t, "how many", control.NamedMost, len(got))
	same(t, "the latest of them first", "29-0", got[0])
}

// dueIn is how long until the check of a control in Ireland is due.
func (s *scene) dueIn(controlID string) (in time.Duration) {
	p := makePlan(s.world())
	p.each(func(_ *row, c *check) {
		if c.id.Control == controlID && c.id.Region == ireland {
			in = c.due.Sub(s.now)
		}
	})
	return in
}

// What rests on an index that was made before an event came is looked at again once there is a newer one.
func TestWhatRestsOnAnIndexIsLookedAtAgainWithTheNext(t *testing.T) {
	s := newScene(t)
	made, sweep := noon.Add(-time.Hour), 20*time.Hour
	s.index = func() control.Index { return control.Index{Made: made, Renewed: made.Add(4 * time.Hour)} }
	s.pass()
	same(t, "where no event came, whether the next sweep will do", true, s.dueIn(volumes) > sweep)
	s.event(volumes, ireland)
	s.pass()
	s.later(settleAfter)
	same(t, "what is looked at a minute after an event", []string{volumes + " " + ireland}, s.pass().Looked)
	same(t, "the look after that", 3*time.Hour-settleAfter, s.dueIn(volumes))
	s.later(time.Hour)
	s.person, s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = true, "1"
	s.pass()
	s.person = false
	same(t, "though somebody has looked meanwhile", 2*time.Hour-settleAfter, s.dueIn(volumes))
	s.later(2*time.Hour - settleAfter)
	same(t, "where AWS is late with it", []any{true, retryFirst}, []any{slices.Contains(s.pass().Looked, volumes+" "+ireland), s.dueIn(volumes)})
	s.later(retryFirst)
	made = s.now
	s.pass()
	same(t, "once it is there, whether the next sweep will do", true, s.dueIn(volumes) > sweep)
}

package controllers

import (
	"slices"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

func TestAnAccountInWhichEventsNeverEndIsSwept(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.later(2 * time.Hour) // all settings are due
	looked := map[string]bool{}
	for range 2 * longestPutOff / time.Minute {
		s.event(flag, ireland)
		for _, check := range s.pass().Looked {
			looked[check] = true
		}
		s.later(time.Minute)
	}
	for _, check := range without(everything(), volumes) {
		if !looked[check] {
			t.Errorf("%s was never looked at", check)
		}
	}
	s.event(flag, ireland)
	same(t, "what is looked at once nothing is put off any more", []string{flag + " " + ireland}, s.pass().Looked)
}

func TestAnAccountThatCanBeEnteredAgainIsLookedAtWhollyThoughAnEventGoesFirst(t *testing.T) {
	s := newScene(t)
	s.pass()
	w := s.world()
	w.memory.unreachable++
	s.write(w, unreachableStatus(w, makePlan(w), apiError{"AccessDenied", "no"}))
	s.later(time.Minute)
	s.event(flag, ireland)
	first := s.pass()
	same(t, "what is looked at first", []string{flag + " " + ireland}, first.Looked)
	same(t, "until the rest is", soonest, first.Next)
	s.later(soonest)
	rest := slices.DeleteFunc(everything(), func(check string) bool { return check == flag+" "+ireland })
	same(t, "what is looked at then", rest, s.pass().Looked)
}

func TestOnlyASweepYieldsToEvents(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*scene)
		want    bool
	}{
		"a sweep":         {func(*scene) {}, true},
		"a person's pass": {func(s *scene) { s.person = true }, false},
		"an event's pass": {func(s *scene) { s.event(flag, ireland) }, false},
		"a sweep put off": {func(s *scene) { s.event(flag, ireland); s.pass() }, true},
		"one put off for 5 minutes": {func(s *scene) {
			s.event(flag, ireland)
			s.pass()
			s.later(longestPutOff)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			s.later(2 * time.Hour)
			tc.prepare(s)
			w := s.world()
			p := makePlan(w)
			r := &AccountReconciler{marks: s.marks}
			yields := r.yields(w, &p)
			s.event(policy, virginia, func(e *cloud.Event) { e.ID = "meanwhile" })
			same(t, "yields", tc.want, yields != nil && yields())
		})
	}
}

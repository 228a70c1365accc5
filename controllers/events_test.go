package controllers

import (
	"strconv"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestAnEventMakesDueWhatDeclaresItThere(t *testing.T) {
	for name, tc := range map[string]struct {
		event  func(*scene)
		person bool
		want   []string
	}{
		"of a region":                   {event: func(s *scene) { s.event(flag, ireland) }, want: []string{flag + " " + ireland}},
		"of the account, in any region": {event: func(s *scene) { s.event(policy, virginia) }, want: []string{policy + " " + global}},
		"of another region":             {event: func(s *scene) { s.event(flag, virginia) }},
		"that nothing declares":         {event: func(s *scene) { s.event("ebs-nothing", ireland) }},
		"of another account, brought here because the administrator's call names it": {
			event: func(s *scene) { s.event(flag, ireland, func(e *cloud.Event) { e.Account = admin }) },
			want:  []string{flag + " " + ireland},
		},
		"two at once": {
			event: func(s *scene) { s.event(flag, ireland); s.event(volumes, frankfurt) },
			want:  []string{flag + " " + ireland, volumes + " " + frankfurt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			s.later(time.Minute)
			tc.event(s)
			got := s.pass().Looked
			if len(got) != len(tc.want) {
				t.Fatalf("looked at %v, want %v", got, tc.want)
			}
			for _, w := range tc.want {
				found := false
				for _, g := range got {
					found = found || g == w
				}
				if !found {
					t.Errorf("looked at %v, want %v", got, tc.want)
				}
			}
		})
	}
}

func TestEventsGoBeforeASweepAndAPersonBeforeThem(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.later(2 * time.Hour) // all settings are due
	s.event(flag, ireland)
	same(t, "what the event's pass looks at", []string{flag + " " + ireland}, s.pass().Looked)
	if n := len(s.pass().Looked); n < 2 {
		t.Errorf("the sweep that waited looked at %d checks", n)
	}
	s.later(2 * time.Hour)
	s.event(flag, ireland)
	s.person = true
	if n := len(s.pass().Looked); n < 3 {
		t.Errorf("a person's pass looked at %d checks, the event's alone", n)
	}
	same(t, "events looked into", 2, s.endedMarks)
}

func TestAnEventIsOverOnlyWhenItWasLookedInto(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.event(flag, ireland)
	s.skips = func(id checkID) bool { return id.Control == flag }
	s.pass()
	same(t, "events over though their check was skipped", 0, s.endedMarks)
	s.skips, s.refuseWrite = nil, true
	s.pass()
	same(t, "events over though the status could not be written", 0, s.endedMarks)
	s.refuseWrite = false
	s.pass()
	same(t, "events over", 1, s.endedMarks)
	same(t, "events still open", 0, s.marks.open())
}

func TestWhatAnEventTellsOfIsLookedAtTwiceWhereNothingIsSeen(t *testing.T) {
	s := newScene(t)
	s.pass()
	s.later(time.Minute)
	s.event(volumes, ireland) // AWS does not show it yet
	first := s.pass()
	same(t, "the next look", settleAfter, first.Next)
	made := s.now
	since := func(control string) time.Time {
		p := makePlan(s.world())
		var at time.Time
		p.each(func(_ *row, c *check) {
			if c.id.Control == control && c.id.Region == ireland {
				at = c.task.Since
			}
		})
		return at
	}
	same(t, "how new shared answers must be at first", time.Time{}, since(volumes))
	s.later(settleAfter)
	same(t, "how new shared answers must be then", []time.Time{made.Add(settleAfter / 2), {}}, []time.Time{since(volumes), since(flag)})
	s.leave(volumes, ireland, "vol-1")
	same(t, "what is looked at then", []string{volumes + " " + ireland}, s.pass().Looked)
	d := s.account.Status.Drift[0]
	same(t, "who did it", []string{"alice", volumes}, []string{d.By, d.Event})
}

func TestARowSaysWhoMadeTheChange(t *testing.T) {
	type who struct{ By, Event string }
	bob := func(e *cloud.Event) { e.Actor, e.Resources = "bob", []string{"vol-2"} }
	for name, tc := range map[string]struct {
		act  func(*scene)
		want who
	}{
		"the event's actor": {
			act:  func(s *scene) { s.leave(flag, ireland, "vol-1"); s.event(flag, ireland); s.pass() },
			want: who{"alice", flag},
		},
		"not who changed another resource": {
			act: func(s *scene) { s.leave(flag, ireland, "vol-1"); s.event(flag, ireland, bob); s.pass() },
		},
		"who changed this resource, not who came later": {
			act: func(s *scene) {
				s.leave(flag, ireland, "arn:aws:ec2:eu-west-1:111122223333:volume/vol-2")
				s.event(flag, ireland, bob)
				s.later(time.Second)
				s.event(flag, ireland, func(e *cloud.Event) { e.Resources = []string{"vol-3"} })
				s.pass()
			},
			want: who{"bob", flag},
		},
		"nobody, where a sweep found it": {
			act: func(s *scene) { s.leave(flag, ireland, "vol-1"); s.later(2 * time.Hour); s.pass() },
		},
		"not who did something that was looked at before": {
			act: func(s *scene) {
				s.event(flag, ireland)
				s.pass()
				s.later(10 * time.Minute)
				s.person = true
				s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "1"
				s.pass()
				s.leave(flag, ireland, "vol-1")
				s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "2"
				s.later(time.Minute)
				s.pass()
			},
		},
		"the event that comes after the sweep that found it": {
			act: func(s *scene) {
				s.leave(flag, ireland, "vol-1")
				made := s.now
				s.later(2 * time.Hour)
				s.pass()
				s.later(10 * time.Minute)
				s.event(flag, ireland, func(e *cloud.Event) { e.Time = made.Add(110 * time.Minute) })
				s.pass()
			},
			want: who{"alice", flag},
		},
		"and keeps saying it": {
			act: func(s *scene) {
				s.leave(flag, ireland, "vol-1")
				s.event(flag, ireland)
				s.pass()
				s.later(5 * time.Minute)
				s.event(flag, ireland, func(e *cloud.Event) { e.Actor = "carol" })
				s.pass()
			},
			want: who{"alice", flag},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			s.later(time.Minute)
			tc.act(s)
			if len(s.account.Status.Drift) != 1 {
				t.Fatalf("the rows are %v", s.account.Status.Drift)
			}
			d := s.account.Status.Drift[0]
			same(t, "the row", tc.want, who{d.By, d.Event})
			if (d.EventTime == nil) != (tc.want.Event == "") {
				t.Errorf("the event's time is %v", d.EventTime)
			}
		})
	}
}

func TestMarksOfOneAccountAreBounded(t *testing.T) {
	s := newScene(t)
	for i := range 10 * maxMarks {
		s.event(flag, ireland, func(e *cloud.Event) {
			e.ID, e.Resources = strconv.Itoa(i), []string{"vol-" + strconv.Itoa(i)}
		})
	}
	if n := s.marks.open(); n > maxMarks {
		t.Errorf("%d marks are open", n)
	}
	if kept := 10*maxMarks - s.endedMarks; kept > maxMarks {
		t.Errorf("%d messages are kept for them", kept)
	}
	s.pass()
	same(t, "messages that are done, joined ones included", 10*maxMarks, s.endedMarks)
	same(t, "marks still open", 0, s.marks.open())
}

func TestOfEventsThatSayTheSameTheLatestKeepsItsMessage(t *testing.T) {
	s := newScene(t)
	var done []string
	put := func(id, name string, at time.Duration) {
		e := cloud.Event{ID: id, Source: "ec2", Name: flag, Account: member, Region: ireland, Time: s.now.Add(at), Actor: name}
		s.marks.add(member, &mark{Event: e, received: s.now, done: func() { done = append(done, name) }})
		s.later(time.Second)
	}
	first := s.now
	put("1", "first", 0)
	put("2", "second", 0)
	put("3", "one that was made before them", -time.Minute)
	same(t, "messages that are done", []string{"first", "one that was made before them"}, done)
	put("2", "second again", -time.Minute)
	same(t, "messages that are done when the same comes again", 2, len(done))
	open, _ := s.marks.of(member, s.now)
	same(t, "what is open, since when", []any{1, "second", first}, []any{len(open), open[0].Actor, open[0].received})
	s.pass()
	same(t, "messages that are done after the pass", []string{"first", "one that was made before them", "second", "second again"}, done)
}

func TestWhatIsRememberedOfAnEventKeepsNoMessage(t *testing.T) {
	s := newScene(t)
	for range 3 {
		s.event(flag, ireland, func(e *cloud.Event) { e.Accounts = []string{otherOne} })
	}
	_, recent := s.marks.of(member, s.now)
	same(t, "remembered", 3, len(recent))
	for _, m := range recent {
		same(t, "its message and the accounts it names", []bool{true, true}, []bool{m.done == nil, m.Accounts == nil})
	}
}

func TestAFlowThatKnowsAsManyAsItMayStillHearsOfThose(t *testing.T) {
	f := NewFlow(EventGrace, func() time.Time { return noon })
	known := []*control.Meta{{ID: flag}}
	f.announce(member, known, &cloud.Event{Time: noon})
	for i := range maxAnnounced {
		f.announced[flowKey{strconv.Itoa(i), flag}] = noon
	}
	f.announce(member, known, &cloud.Event{Time: noon.Add(time.Hour)})
	f.announce(otherOne, known, &cloud.Event{Time: noon})
	_, more := f.announced[flowKey{otherOne, flag}]
	same(t, "when it was last announced", noon.Add(time.Hour), f.announced[flowKey{member, flag}])
	same(t, "one more is known", false, more)
}

func TestAMessageIsDoneWithItsLastPart(t *testing.T) {
	n := 0
	done := shared(3, func() { n++ })
	done()
	done()
	same(t, "done before the last part", 0, n)
	done()
	same(t, "done", 1, n)
}

func TestFlow(t *testing.T) {
	flagged := []*control.Meta{{ID: flag}}
	find := func(s *scene) { s.leave(flag, ireland, "vol-1"); s.later(2 * time.Hour); s.pass() }
	for name, tc := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"nothing was heard yet":   {func(*scene) {}, "Unknown NoEventsYet"},
		"a sweep finds nothing":   {func(s *scene) { s.later(2 * time.Hour); s.pass() }, "Unknown NoEventsYet"},
		"events arrive":           {func(s *scene) { s.flow.announce(member, flagged, &cloud.Event{Time: s.now}) }, "True EventsArrive"},
		"a sweep found something": {find, "Unknown NoEventsYet"},
		"a sweep found something and no event has come": {
			func(s *scene) { find(s); s.later(EventGrace) }, "False ChangeWithoutEvent",
		},
		"its event came late": {
			func(s *scene) {
				find(s)
				s.later(10 * time.Minute)
				s.flow.announce(member, flagged, &cloud.Event{Time: s.now.Add(-30 * time.Minute)})
				s.later(EventGrace)
			}, "True EventsArrive",
		},
		"its event had come before AWS showed it": {
			func(s *scene) {
				s.flow.announce(member, flagged, &cloud.Event{Time: s.now})
				find(s)
				s.later(EventGrace)
			}, "True EventsArrive",
		},
		"an event of another control came": {
			func(s *scene) {
				find(s)
				s.later(EventGrace)
				s.flow.announce(member, []*control.Meta{{ID: volumes}}, &cloud.Event{Time: s.now})
			}, "False ChangeWithoutEvent",
		},
		"a person looked, not a sweep": {
			func(s *scene) {
				s.leave(flag, ireland, "vol-1")
				s.later(time.Minute)
				s.account.Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "1"
				s.pass()
				s.later(EventGrace)
			}, "Unknown NoEventsYet",
		},
		"the first look found it": {
			func(s *scene) {
				s.restart()
				s.account.Status = v1alpha1.AWSAccountStatus{}
				find(s)
				s.later(EventGrace)
			}, "Unknown NoEventsYet",
		},
		"a day later it is forgotten": {func(s *scene) { find(s); s.later(25 * time.Hour) }, "Unknown NoEventsYet"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			changed := 0
			s.flow.changed = func() { changed++ }
			tc.act(s)
			s.flow.settle(nil)
			is := s.flow.condition()
			same(t, "the condition", tc.want, string(is.Status)+" "+is.Reason)
			s.flow.settle(nil)
			same(t, "how often it was told", 1, changed)
		})
	}
}

func TestFlowSaysWhenTheQueueCannotBeRead(t *testing.T) {
	f := NewFlow(EventGrace, func() time.Time { return noon })
	f.settle(apiError{"AccessDenied", "no"})
	is := f.condition()
	same(t, "the condition", "False QueueUnreadable", string(is.Status)+" "+is.Reason)
}

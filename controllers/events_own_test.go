package controllers

import (
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// knownCalls are what a manager knows of its own calls.
type knownCalls struct {
	since           time.Time
	maybe, forReads bool
}

func (k knownCalls) Own(string) bool                        { return false }
func (k knownCalls) OwnSince() time.Time                    { return k.since }
func (k knownCalls) MayBeOwn(_, _ string, _ time.Time) bool { return k.maybe }
func (k knownCalls) ReadsKnown() bool                       { return k.forReads }

func TestWhichCallsByPlumblinesRolesAreJudged(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	event := cloud.Event{Source: "s3", Account: member, Time: now.Add(-time.Minute)}
	since := now.Add(-time.Hour)
	for sentence, c := range map[string]struct {
		known  knownCalls
		change func(*cloud.Event)
		role   string
		judged bool
	}{
		"one that is none of the manager's own": {knownCalls{since: since}, func(*cloud.Event) {}, roleEnforce, true},
		"not one of a service in the role's name, for the call behind it has an event of its own": {
			knownCalls{since: since}, func(e *cloud.Event) { e.Through = "cloudtrail.amazonaws.com" }, roleEnforce, false},
		"not one from before this manager led":                   {knownCalls{since: now}, func(*cloud.Event) {}, roleEnforce, false},
		"not one of which the id may be forgotten":               {knownCalls{}, func(e *cloud.Event) { e.Time = now.Add(-time.Hour) }, roleEnforce, false},
		"not one that may be the manager's own without an id":    {knownCalls{since: since, maybe: true}, func(*cloud.Event) {}, roleEnforce, false},
		"one that reads with the audit role, if reads are known": {knownCalls{since: since, forReads: true}, func(e *cloud.Event) { e.ReadOnly = true }, roleAudit, true},
		"not one that reads with it, if they are not":            {knownCalls{since: since}, func(e *cloud.Event) { e.ReadOnly = true }, roleAudit, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			e := event
			c.change(&e)
			record, _ := newRecorder()
			r := &EventReceiver{Own: c.known, Record: record, Clock: func() time.Time { return now }}
			same(t, "judged", c.judged, r.judges(&e, c.role))
		})
	}
}

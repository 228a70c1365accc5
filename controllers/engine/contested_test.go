package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// fight has a drift changed back whenever it may be put right, every so often for as long as told, and returns when it was put
// right, in seconds after noon.
func fight(lasting, every time.Duration) (seconds []int) {
	c, v := newContests(), contest{account: member, drift: "v"}
	for now := noon; !now.After(noon.Add(lasting)); now = now.Add(every) {
		if at, _ := c.again(v, now); at.IsZero() {
			c.note(v, now)
			seconds = append(seconds, int(now.Sub(noon)/time.Second))
		}
	}
	return seconds
}

// contest has v put right as often as is done at once, and changed back.
func (l *lake) contest() {
	for range freeChanges {
		l.leave(member, ireland, "v")
		l.run(member, enforced(l.encrypted(), ireland))
	}
	l.leave(member, ireland, "v")
	l.changed()
}

func TestTheFirstThreeChangesAreMadeAtOnceAndEachFurtherOneWaitsLonger(t *testing.T) {
	for name, tc := range map[string]struct {
		lasting, every time.Duration
		want           []int
	}{
		"changed back within seconds":      {time.Hour, 15 * time.Second, []int{0, 15, 30, 90, 210, 450, 930, 1830, 2730}},
		"changed back every minute":        {12 * time.Minute, time.Minute, []int{0, 60, 120, 180, 300, 540}},
		"changed back every ten minutes":   {time.Hour, 10 * time.Minute, []int{0, 600, 1200, 1800, 2400, 3000, 3600}},
		"changed back every half an hour":  {2 * time.Hour, 30 * time.Minute, []int{0, 1800, 3600, 5400, 7200}},
		"changed back now and then":        {6 * time.Hour, 2 * time.Hour, []int{0, 7200, 14400, 21600}},
		"changed back twice and no longer": {30 * time.Second, 15 * time.Second, []int{0, 15, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, "put right at second", tc.want, fight(tc.lasting, tc.every))
		})
	}
}

func TestHoweverOftenItIsChangedBackItIsPutRightWithinAQuarterOfAnHour(t *testing.T) {
	seconds := fight(24*time.Hour, 5*time.Second)
	longest, most := 0, 0
	for i, at := range seconds {
		if i > 0 {
			longest = max(longest, at-seconds[i-1])
		}
		n := 0
		for _, other := range seconds[i:] {
			if other < at+3600 {
				n++
			}
		}
		most = max(most, n)
	}
	compare(t, "the longest wait in seconds", 15*60, longest)
	compare(t, "the most changes within an hour", 9, most)
}

func TestPassesPutRightWhatIsContestedWhenItIsTime(t *testing.T) {
	l := newLake(t, Limits{})
	l.contest()
	var got []string
	for _, wait := range []time.Duration{0, 59 * time.Second, time.Second, 119 * time.Second, time.Second, 4*time.Minute - 1, 1} {
		l.pass(wait)
		l.leave(member, ireland, "v")
		results := l.run(member, enforced(l.encrypted(), ireland))
		got = append(got, strings.Join(append(reasons(results), l.changed()...), ", "))
	}
	const contested, changed = "eu-west-1 v Contested", "eu-west-1 v"
	compare(t, "passes", []string{contested, contested, changed, contested, changed, contested, changed}, got)
}

func TestWhatIsContestedSaysSoAndWhenItIsMadeAgain(t *testing.T) {
	l := newLake(t, Limits{})
	l.contest()
	l.pass(20 * time.Second)
	want := []Judged{{Finding: control.Finding{
		Drift: drift("v"), Reason: v1alpha1.RowContested, Again: noon.Add(time.Minute),
		Message: "put right 3 times within an hour and changed back each time; made again at 2026-03-01T12:01:00Z; " +
			"see by and event who changes it",
	}}}
	for range 2 { // a look more changes nothing
		got := l.run(member, enforced(l.encrypted(), ireland))[0]
		if diff := cmp.Diff(want, got.Findings, cmp.AllowUnexported(Judged{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		compare(t, "changed", 0, got.Changed)
	}
}

func TestWhatIsContestedHoldsUpNoOtherChange(t *testing.T) {
	l := newLake(t, Limits{ChangesPerPass: 2, AccountsAtOnce: 1})
	l.contest()
	l.leave(member, ireland, "a", "w")
	contested := []string{"eu-west-1 v Contested"}
	results := l.run(member, enforced(l.encrypted(), ireland))
	compare(t, "findings", contested, reasons(results))
	compare(t, "it is still made again at", noon.Add(time.Minute), results[0].Findings[0].Again)
	compare(t, "the others of its check", []string{"eu-west-1 a", "eu-west-1 w"}, l.changed())
	l.leave(member, frankfurt, "v")
	compare(t, "another region", []string{}, reasons(l.run(member, enforced(l.encrypted(), frankfurt))))
	compare(t, "that it takes no place", contested, reasons(l.run(member, enforced(l.encrypted(), ireland))))
	compare(t, "another account", []string{}, reasons(l.changing(admin)))
	compare(t, "changed", []string{"eu-central-1 v", "eu-west-1 v"}, l.changed())
}

func TestWhoAsksForTheAccountAndWhoGivesItUpEndAContest(t *testing.T) {
	const contested = "eu-west-1 v Contested"
	for name, tc := range map[string]struct {
		then func(l *lake)
		want []string
	}{
		"nobody":                             {func(*lake) {}, []string{contested}},
		"a person asks for the account":      {func(l *lake) { l.Insist(member) }, []string{}},
		"a person asks for another":          {func(l *lake) { l.Insist(admin) }, []string{contested}},
		"a person asks for a baseline":       {func(l *lake) { l.Renew(member, "EBSBaseline/organization now") }, []string{contested}},
		"the account is worked on no longer": {func(l *lake) { l.Release(member) }, []string{}},
		"another is worked on no longer":     {func(l *lake) { l.Release(admin) }, []string{contested}},
		"the clock is set back":              {func(l *lake) { l.pass(-time.Hour) }, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{})
			l.contest()
			tc.then(l)
			compare(t, "findings", tc.want, reasons(l.run(member, enforced(l.encrypted(), ireland))))
		})
	}
}

func TestChangesAreCountedThatWereMadeAndNotLooks(t *testing.T) {
	l := newLake(t, Limits{})
	task := enforced(l.encrypted(), ireland)
	l.leave(member, ireland, "v")
	l.hidden = 1_000_000
	compare(t, "the change", []string{"eu-west-1 v Settling"}, reasons(l.run(member, task)))
	task.Looks = func(string) int { return 1 }
	for range 5 {
		compare(t, "a look", []string{"eu-west-1 v Settling"}, reasons(l.run(member, task)))
	}
	task.Looks, l.hidden = nil, 0
	l.changed()
	for range freeChanges - 1 {
		l.leave(member, ireland, "v")
		l.run(member, task)
	}
	compare(t, "made at once after it", freeChanges-1, len(l.changed()))
	l.leave(member, ireland, "v")
	compare(t, "the fourth", []string{"eu-west-1 v Contested"}, reasons(l.run(member, task)))
}

func TestAChangeThatFailsIsNotOneThatIsChangedBack(t *testing.T) {
	l := newLake(t, Limits{})
	l.onWrite = func(*control.Target, string) error { return errors.New("no") }
	l.leave(member, ireland, "v")
	for range freeChanges + 2 {
		compare(t, "findings", []string{"eu-west-1 v RemediationFailed failed"}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
	}
}

func TestContestsAreForgottenAfterAnHourAndTheOldestWhereThereAreTooMany(t *testing.T) {
	c := newContests()
	of := func(n int) contest { return contest{account: member, drift: fmt.Sprint(n)} }
	known := func(all ...int) string {
		var s []string
		for _, n := range all {
			if _, ok := c.made[of(n)]; ok {
				s = append(s, fmt.Sprint(n))
			}
		}
		return strings.Join(s, " ")
	}
	for n := range maxContests {
		c.note(of(n), noon.Add(time.Duration(n)*time.Millisecond))
	}
	compare(t, "as many as there may be", maxContests, len(c.made))
	c.note(of(0), noon.Add(time.Minute))
	compare(t, "one of them once more", maxContests, len(c.made))
	c.note(of(maxContests), noon.Add(time.Minute))
	compare(t, "one more", maxContests, len(c.made))
	compare(t, "the oldest is gone", "0 2 10000", known(0, 1, 2, maxContests))
	c.note(of(1), noon.Add(time.Hour+59*time.Second))
	compare(t, "an hour later", "0 1 10000", known(0, 1, 2, maxContests))
	compare(t, "and no others", 3, len(c.made))
}

func TestWhatRestoresNoProtectionStopsUntilSomebodyAsks(t *testing.T) {
	l := newLake(t, Limits{})
	task := func() Task {
		b := l.encrypted()
		meta := *b.Meta
		meta.Protects = false
		b.Meta = &meta
		return enforced(b, ireland)
	}
	for range freeChanges {
		l.leave(member, ireland, "v")
		compare(t, "the first changes are made", []string{}, reasons(l.run(member, task())))
	}
	l.leave(member, ireland, "v")
	l.changed()
	for range 5 {
		compare(t, "then it stops, for however long", []string{"eu-west-1 v Contested"}, reasons(l.run(member, task())))
		l.pass(time.Hour)
	}
	compare(t, "made", []string{}, append([]string{}, l.changed()...))
	l.Insist(admin)
	compare(t, "somebody asks for another account", []string{"eu-west-1 v Contested"}, reasons(l.run(member, task())))
	l.Insist(member)
	compare(t, "somebody asks for this account", []string{}, reasons(l.run(member, task())))
}

package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

func TestJitterIsStableAndSpreadOverATenth(t *testing.T) {
	const every = time.Hour
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		account := fmt.Sprintf("%012d", i*7919)
		j := jitter(account, every)
		if j < 0 || j >= every/10 || j != jitter(account, every) {
			t.Fatalf("the jitter of %s is %v", account, j)
		}
		seen[j/time.Minute] = true
	}
	if len(seen) != 6 {
		t.Errorf("the accounts fall into %d of 6 minutes", len(seen))
	}
}

// ofADay runs passes as they come for a day and returns how often each check was looked at, the number of passes and of
// writes.
func (s *scene) ofADay() (looked map[string]int, passes, writes int) {
	looked = map[string]int{}
	for end := s.now.Add(24 * time.Hour); s.now.Before(end); passes++ {
		p := s.pass()
		for _, l := range p.Looked {
			looked[l]++
		}
		if p.Wrote {
			writes++
		}
		if p.Next == 0 {
			s.Fatal("the account would never be looked at again")
		}
		s.later(p.Next)
	}
	return looked, passes, writes
}

func TestADayOfAnAccountInWhichNothingHappens(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.leave(flag, ireland, "a")
	s.pass()
	looked, passes, writes := s.ofADay()
	same(t, "looked at", map[string]int{flag + " " + ireland: 25, policy + " " + global: 25, volumes + " " + ireland: 1}, looked)
	if passes > 27 || writes > 26 {
		t.Errorf("%d passes and %d writes", passes, writes)
	}
}

func TestIntervals(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.spec().Interval, s.spec().ResourceInterval = &metav1.Duration{Duration: 5 * time.Minute}, &metav1.Duration{Duration: time.Hour}
	s.pass()
	looked, _, _ := s.ofADay()
	for check, want := range map[string]int{flag: 24 * 12, volumes: 24} {
		if got := looked[check+" "+ireland]; got < want || got > want*10/9+1 {
			t.Errorf("%s was looked at %d times in a day", check, got)
		}
	}
}

func TestWhatCannotBeToldIsTriedAgainMoreAndMoreSeldom(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.fails[flag+" "+ireland] = apiError{"InternalError", "no"}
	var waits []string
	for range 6 {
		p := s.pass()
		waits = append(waits, p.Next.String())
		s.later(p.Next)
	}
	hour := time.Hour - jitter(member, time.Hour)
	same(t, "waits", []string{"5m0s", "10m0s", "20m0s", (hour - 35*time.Minute).String()}, waits[:4])
	if slices.ContainsFunc(waits, func(w string) bool { return w == "1s" }) {
		t.Errorf("a hot loop: %v", waits)
	}
	delete(s.fails, flag+" "+ireland)
	s.later(2 * time.Hour)
	s.pass()
	s.is("Compliant 3/3")
	s.fails[flag+" "+ireland] = apiError{"InternalError", "no"}
	s.later(2 * time.Hour)
	if next := s.pass().Next; next != retryFirst {
		t.Errorf("after a success the first wait is %v", next)
	}
}

func TestAChangeThatNeverShowsIsTriedAgainMoreAndMoreSeldom(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	s.leave(flag, ireland, "a")
	s.found[flag+" "+ireland]["a"] = false // no change mends it
	type step struct {
		Reason, Ready string
		Changed       bool
		Attempts      int32
		Next          time.Duration
	}
	var got []step
	for range 9 {
		p := s.pass()
		row := s.account.Status.Drift[0]
		got = append(got, step{
			row.Reason, findCondition(s.account.Status.Conditions, v1alpha1.ConditionReady).Reason, len(p.Changed) > 0, row.Attempts, p.Next,
		})
		s.later(p.Next)
	}
	settling := func(changed bool, attempts int32) step {
		return step{v1alpha1.RowSettling, v1alpha1.ReasonSucceeded, changed, attempts, time.Minute}
	}
	failed := func(attempts int32, next time.Duration) step {
		return step{v1alpha1.RowRemediationFailed, v1alpha1.ReasonRemediationFailed, false, attempts, next}
	}
	same(t, "passes", []step{
		settling(true, 0), settling(false, 0), failed(1, 5*time.Minute),
		settling(true, 1), settling(false, 1), failed(2, 10*time.Minute),
		settling(true, 2), settling(false, 2), failed(3, 20*time.Minute),
	}, got)
	same(t, "since", noon, s.account.Status.Drift[0].Since.UTC())
	s.found[flag+" "+ireland]["a"] = true
	s.pass()
	s.is("Compliant 3/3")
	if c := findCondition(s.account.Status.Conditions, v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue {
		t.Errorf("once it is put right, Ready is %s, %s", c.Status, c.Reason)
	}
}

func TestARestartWhileAChangeIsWaitedForMakesItAgain(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	s.leave(flag, ireland, "a")
	s.found[flag+" "+ireland]["a"] = false
	s.pass()
	s.restart()
	same(t, "before a minute is over", passed{Next: time.Minute}, s.pass())
	s.later(time.Minute)
	same(t, "after it", []string{flag + " " + ireland + " a"}, s.pass().Changed)
}

func TestWhatWaitsForAChangeOfThisPassIsLookedAtSoonAfterIt(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	s.leave(flag, ireland, "a")
	made := func() bool { return len(s.found[flag+" "+ireland]) == 0 }
	s.waits = map[string]func() bool{policy + " " + global: func() bool { return !made() }}
	first := s.pass()
	s.is("Unknown 2/3 unknown=1")
	same(t, "the next pass", 2*time.Second, first.Next)
	s.later(first.Next)
	same(t, "looked at", []string{policy + " " + global}, s.pass().Looked)
	s.is("Compliant 3/3")
	s.waits[policy+" "+global] = func() bool { return true }
	s.later(time.Hour)
	same(t, "what waits for nothing of ours", time.Minute, s.pass().Next)
}

func TestRetries(t *testing.T) {
	finding := func(o control.Outcome, reason string, failed bool) engine.Judged {
		return engine.Judged{Finding: control.Finding{Outcome: o, Reason: reason}, Failed: failed}
	}
	unknown := finding(control.Unknown, "AccessDenied", false)
	failed := finding("", v1alpha1.RowRemediationFailed, true)
	settling := finding("", v1alpha1.RowSettling, false)
	capped := finding("", v1alpha1.RowCapReached, false)
	waiting := finding(control.Waiting, v1alpha1.RowWaiting, false)
	contested := finding("", v1alpha1.RowContested, false)
	contested.Again = time.Time{}.Add(8 * time.Minute)
	for name, tc := range map[string]struct {
		findings []engine.Judged
		changed  bool
		failures int
		want     wait
	}{
		"all is well":                                  {nil, true, 0, wait{}},
		"what only reports waits for nothing":          {[]engine.Judged{finding("", v1alpha1.RowAudit, false)}, false, 3, wait{}},
		"what does not apply waits for nothing":        {[]engine.Judged{finding(control.NotApplicable, "X", false)}, false, 0, wait{}},
		"an unknown":                                   {[]engine.Judged{unknown}, false, 0, wait{5 * time.Minute, true}},
		"a fourth unknown":                             {[]engine.Judged{unknown}, false, 3, wait{40 * time.Minute, true}},
		"an unknown for weeks":                         {[]engine.Judged{unknown}, false, 1 << 20, wait{24 * time.Hour, true}},
		"a failure":                                    {[]engine.Judged{failed}, true, 1, wait{10 * time.Minute, true}},
		"a role that is missing":                       {[]engine.Judged{finding("", v1alpha1.RowRoleMissing, false)}, false, 0, wait{5 * time.Minute, true}},
		"an organization's policy refuses it":          {[]engine.Judged{finding("", control.ReasonManagedByOrganizationPolicy, true)}, true, 0, wait{}},
		"settling":                                     {[]engine.Judged{settling}, false, 7, wait{time.Minute, false}},
		"the pass's cap":                               {[]engine.Judged{capped}, true, 7, wait{time.Minute, false}},
		"no place":                                     {[]engine.Judged{capped}, false, 2, wait{4 * time.Minute, true}},
		"no place for long":                            {[]engine.Judged{capped}, false, 9, wait{16 * time.Minute, true}},
		"the soonest counts, whatever comes first":     {[]engine.Judged{unknown, settling, waiting}, true, 0, wait{2 * time.Second, false}},
		"contested":                                    {[]engine.Judged{contested}, true, 7, wait{8 * time.Minute, false}},
		"waiting, with nothing changed":                {[]engine.Judged{waiting}, false, 0, wait{time.Minute, true}},
		"waiting for long":                             {[]engine.Judged{waiting}, false, 5, wait{32 * time.Minute, true}},
		"waiting for a reason of the control's own":    {[]engine.Judged{finding(control.Waiting, "NoTrail", false)}, true, 0, wait{2 * time.Second, false}},
		"what a change uncovered follows at once":      {[]engine.Judged{finding("", v1alpha1.RowWaiting, false)}, true, 0, wait{2 * time.Second, true}},
		"and not over and over":                        {[]engine.Judged{finding("", v1alpha1.RowWaiting, false)}, true, 5, wait{64 * time.Second, true}},
		"an outcome that nobody knows is an unknown":   {[]engine.Judged{finding("Odd", "X", false)}, false, 0, wait{5 * time.Minute, true}},
		"an excused departure waits for its exception": {[]engine.Judged{{Excepted: "x", Finding: control.Finding{Reason: "Excepted"}}}, false, 0, wait{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(&engine.Result{Findings: tc.findings}, tc.changed, tc.failures); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// Somebody changes the flag back at once, and every event of it is heard.
func TestWhatIsContestedIsDueByItselfWhenItsChangeIsMadeAgain(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	s.spec().EBSVolumes, s.spec().RDSStorage = nil, nil
	type step struct {
		Changed       bool
		Reason, Ready string
		Attempts      int32
		Next          time.Duration
	}
	told := func() step {
		s.leave(flag, ireland, "a")
		s.event(flag, ireland)
		p := s.pass()
		st := step{Changed: len(p.Changed) > 0, Ready: findCondition(s.account.Status.Conditions, v1alpha1.ConditionReady).Reason}
		if rows := s.account.Status.Drift; len(rows) > 0 {
			st.Reason, st.Attempts, st.Next = rows[0].Reason, rows[0].Attempts, p.Next
		}
		return st
	}
	changed := step{Changed: true, Ready: v1alpha1.ReasonSucceeded}
	contested := func(next time.Duration) step {
		return step{Reason: v1alpha1.RowContested, Ready: v1alpha1.ReasonSucceeded, Next: next}
	}
	for range 3 {
		same(t, "one of the first three", changed, told())
	}
	same(t, "the fourth", contested(time.Minute), told())
	s.later(45 * time.Second)
	same(t, "at the next event", contested(15*time.Second), told())
	s.later(15 * time.Second)
	same(t, "without an event, when it is time", []string{flag + " " + ireland + " a"}, s.pass().Changed)
	s.is("Compliant 1/1")
	same(t, "changed back once more", contested(2*time.Minute), told())
	s.restart()
	s.engine.Insist(member) // a restart forgets the engine's memory, too
	s.later(time.Minute)
	same(t, "a minute after a restart", []string{flag + " " + ireland + " a"}, s.pass().Changed)
}

func TestAHoldThatEndsMakesItsDriftDueAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		begin  func(s *scene)
		reason string
		end    func(s *scene)
	}{
		"suspend": {
			func(s *scene) { s.spec().Suspend = true }, v1alpha1.RowSuspended, func(s *scene) { s.spec().Suspend = false },
		},
		"the manager's --allow-writes": {
			func(s *scene) { s.allowWrites = false }, v1alpha1.RowWritesDisabled, func(s *scene) { s.allowWrites = true },
		},
		"the management account": {
			func(s *scene) { s.account.Name = management }, v1alpha1.RowManagementAccount,
			func(s *scene) {
				s.spec().Accounts = &v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{management}}
			},
		},
		"a new account": {
			func(s *scene) {
				s.account.Annotations[v1alpha1.AnnotationJoinedAt] = noon.Add(-time.Hour).Format(time.RFC3339)
			}, v1alpha1.RowNewAccount,
			func(s *scene) { s.later(23 * time.Hour) },
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				s := newScene(t)
				s.enabled = []string{ireland}
				s.enforce()
				s.leave(flag, ireland, "a")
				tc.begin(s)
				held := s.pass()
				same(t, "changed", []string(nil), held.Changed)
				same(t, "reason", tc.reason, s.account.Status.Drift[0].Reason)
				if restart {
					s.restart()
				}
				s.later(time.Second)
				same(t, "looked at while it lasts", []string(nil), s.pass().Looked)
				tc.end(s)
				same(t, "changed after it", []string{flag + " " + ireland + " a"}, s.pass().Changed)
			})
		}
	}
}

func TestWhatWaitsForItsWaveIsProposedAsSoonAsThatComes(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			s := newScene(t)
			s.enabled = []string{ireland}
			s.enforce()
			s.spec().Approval = v1alpha1.ApprovalAll
			s.spec().Rollout = &v1alpha1.Rollout{Waves: []v1alpha1.Wave{{Name: "others", Accounts: v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{otherOne}}}}}
			ro := &v1alpha1.RolloutStatus{Revision: rolloutOf(declare(s.kind(), s.baselines[0])), Waves: 2}
			s.baselines[0].Status.Rollout = ro
			s.leave(flag, ireland, "a")
			s.pass()
			row := s.account.Status.Drift[0]
			same(t, "held back", []string{v1alpha1.RowRolloutWaiting, "changed in wave 2 of 2 (all others); wave 1 is under way; then waits for an approval"}, []string{row.Reason, row.Message})
			if restart {
				s.restart()
			}
			s.later(time.Second)
			same(t, "looked at while it lasts", []string(nil), s.pass().Looked)
			ro.Wave = 1
			same(t, "looked at once its wave is under way", []string{flag + " " + ireland}, s.pass().Looked)
			same(t, "proposed", v1alpha1.RowAwaitingApproval, s.account.Status.Drift[0].Reason)
		})
	}
}

func TestANewAccountIsPassedTheMomentItIsOldEnough(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	s.org.EnforceNewAccountsAfter = &metav1.Duration{Duration: 30 * time.Minute}
	s.account.Annotations[v1alpha1.AnnotationJoinedAt] = noon.Add(-10 * time.Minute).Format(time.RFC3339)
	same(t, "the next pass", 20*time.Minute, s.pass().Next)
	s.org.EnforceNewAccountsAfter.Duration = 0
	s.leave(flag, ireland, "a")
	s.later(time.Hour)
	same(t, "0s writes at once", 1, len(s.pass().Changed))
}

func TestSettingsOfTheOrganizationAreTheirOwnConsent(t *testing.T) {
	s := newScene(t)
	s.account.Name, s.allowWrites = management, true
	s.account.CreationTimestamp = metav1.NewTime(noon)
	s.baselines = []*v1alpha1.EncryptionBaseline{s.baseline("trail", func(b *v1alpha1.EncryptionBaselineSpec) {
		b.Mode, b.KMSRotation = v1alpha1.ModeEnforce, &v1alpha1.KMSRotation{ControlSpec: on}
	})}
	s.leave(trail, global, "t")
	same(t, "changed in the management account", []string{trail + " " + global + " t"}, s.pass().Changed)
	s.leave(trail, global, "t")
	s.spec().Suspend = true
	s.later(time.Hour)
	same(t, "changed while suspended", []string(nil), s.pass().Changed)
	s.spec().Suspend, s.allowWrites = false, false
	s.later(time.Hour)
	same(t, "changed by a manager that may not write", []string(nil), s.pass().Changed)
}

func TestMoreThanAPassMayChangeTakesSeveralAMinuteApart(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce()
	for i := range 60 {
		s.leave(flag, ireland, fmt.Sprintf("v%02d", i))
	}
	var made []int
	var waits []time.Duration
	for range 3 {
		p := s.pass()
		made, waits = append(made, len(p.Changed)), append(waits, p.Next)
		s.later(p.Next)
	}
	same(t, "changes", []int{25, 25, 10}, made)
	same(t, "waits", []time.Duration{time.Minute, time.Minute}, waits[:2])
	s.is("Compliant 3/3")
}

func TestNext(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	checks := func(due ...time.Time) plan {
		var r row
		for _, d := range due {
			r.checks = append(r.checks, check{due: d})
		}
		return plan{rows: []row{r}}
	}
	turns := checks(at(5))
	turns.turns = at(3)
	for name, tc := range map[string]struct {
		plan plan
		want time.Time
	}{
		"nothing to do is never":                       {plan{}, time.Time{}},
		"the earliest":                                 {checks(at(7), at(5), at(9)), at(5)},
		"what was never looked at, first":              {checks(time.Time{}, at(60)), noon},
		"what was never looked at, last":               {checks(at(60), time.Time{}), noon},
		"what was never looked at, in the middle":      {checks(at(60), time.Time{}, at(5)), noon},
		"what was due already":                         {checks(at(60), at(-5)), noon},
		"an exception begins or ends":                  {turns, at(3)},
		"an exception's turn is no reason to wait":     {plan{rows: checks(at(5)).rows, turns: at(30)}, at(5)},
		"a turn where there is nothing else to be due": {plan{turns: at(3)}, at(3)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.plan.next(noon); !got.Equal(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUnreadableRegionsAreAskedForAgainSoon(t *testing.T) {
	w := world{now: noon, memory: newMemory(), regionsErr: apiError{}}
	for i, want := range []time.Duration{5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		w.memory.unread = i
		if got := w.next(plan{}).Sub(noon); got != want {
			t.Errorf("after %d tries: %v, want %v", i, got, want)
		}
	}
	if got := w.next(plan{turns: noon.Add(time.Minute)}).Sub(noon); got != time.Minute {
		t.Errorf("what is due sooner comes after %v", got)
	}
}

// An account that waits for what others share comes back when that may be there, and not every second; one in which more is left
// undone comes back at once.
func TestWhoWaitsForWhatAccountsShareComesBackLater(t *testing.T) {
	for name, tc := range map[string]struct {
		results []engine.Result
		want    time.Duration
	}{
		"nothing was skipped":                  {[]engine.Result{{}}, 0},
		"there was no time":                    {[]engine.Result{{Skipped: true}}, 0},
		"what is shared was late":              {[]engine.Result{{}, {Skipped: true, Late: true}}, sharedAgain},
		"what is shared was late, and no time": {[]engine.Result{{Skipped: true, Late: true}, {Skipped: true}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			w := s.world()
			w.awaits = awaits(tc.results)
			same(t, "comes back after", tc.want, w.next(makePlan(w)).Sub(w.now))
		})
	}
}

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// fleet is a baseline over six accounts, two of them with the label tier: canary, and what their statuses say.
type fleet struct {
	*testing.T
	baseline *v1alpha1.EncryptionBaseline
	accounts []*v1alpha1.AWSAccount
	soak     time.Duration
	// after is how long new accounts are only observed.
	after time.Duration
	now   time.Time
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{T: t, baseline: encryptionBaseline(v1alpha1.ModeEnforce), soak: time.Hour, now: noon}
	for i := range 6 {
		a := anAccount(fmt.Sprintf("11111111111%d", i))
		if i > 3 {
			a.Labels = map[string]string{"tier": "canary"}
		}
		f.accounts = append(f.accounts, a)
		f.says(i, v1alpha1.RowRolloutWaiting)
	}
	return f
}

func (f *fleet) kind() declared {
	for _, k := range controls.Kinds() {
		if k.Name == "EncryptionBaseline" {
			return declare(k, f.baseline)
		}
	}
	f.Fatal("there is no such kind")
	return declared{}
}

// says sets why an account's drift stands; "" means that it has none.
func (f *fleet) says(i int, reason string) {
	s := &f.accounts[i].Status
	s.Baselines = []v1alpha1.AccountBaseline{{Kind: "EncryptionBaseline", Name: "organization", Revision: f.kind().revision, Checks: v1alpha1.CheckCounts{Total: 2, Compliant: 2}}}
	s.Controls = nil
	if reason != "" {
		s.Controls = []v1alpha1.AccountControl{{Control: flag, Baseline: "EncryptionBaseline/organization", Reason: reason, Drifted: someDepart}}
		s.Baselines[0].Checks = v1alpha1.CheckCounts{Total: 2, Compliant: 1, Drifted: 1}
	}
	if reason == v1alpha1.RowRemediationFailed {
		s.Baselines[0].Failed = 1
	}
}

// rollUp sums the accounts and returns how far the rollout is.
func (f *fleet) rollUp() *v1alpha1.RolloutStatus {
	org := organization()
	org.Spec.EnforceNewAccountsAfter = &metav1.Duration{Duration: f.after}
	s := newRollUps(org, []declared{f.kind()}, f.now)[0]
	for _, a := range f.accounts {
		s.add(a)
	}
	f.baseline.Status.Rollout = s.rollout(f.soak)
	return f.baseline.Status.Rollout
}

// held says which of the accounts are held back, and why: "." may be changed, "w" waits, "p" is paused.
func (f *fleet) held() string {
	text := ""
	for _, a := range f.accounts {
		w := world{account: a, defaultSoak: f.soak}
		text += map[string]string{"": ".", v1alpha1.RowRolloutWaiting: "w", v1alpha1.RowRolloutPaused: "p"}[w.rolloutHold(f.kind()).Reason]
	}
	return text
}

func (f *fleet) expect(what, held, summary string) {
	f.Helper()
	ro := f.rollUp()
	same(f.T, what+": who is held back", held, f.held())
	got := "none"
	if ro != nil {
		got = ro.Summary
	}
	if !strings.HasPrefix(got, summary) {
		f.Errorf("%s: summary %q, want %q", what, got, summary)
	}
}

var threeWaves = &v1alpha1.Rollout{Waves: []v1alpha1.Wave{
	{Name: "canary", Accounts: v1alpha1.AccountSelector{MatchLabels: map[string]string{"tier": "canary"}}, Soak: &metav1.Duration{Duration: 10 * time.Minute}},
	{Name: "early", Accounts: v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{"111111111110"}}},
}}

func TestWithoutWavesOneAccountGoesFirst(t *testing.T) {
	f := newFleet(t)
	same(t, "before the roll-up has said anything", "wwwwww", f.held())
	f.expect("it begins", ".wwwww", "wave 1/2 (first account): 0 of 1 accounts done")
	f.says(0, "")
	f.expect("it is changed", ".wwwww", "wave 1/2 (first account): 1 of 1 accounts done, soaks until 2026-03-01T13:00:00Z")
	f.now = noon.Add(59 * time.Minute)
	f.expect("it soaks", ".wwwww", "wave 1/2")
	f.now = noon.Add(time.Hour)
	f.expect("it has soaked", "......", "wave 2/2 (all others): 0 of 5 accounts done")
	for i := range 6 {
		f.says(i, "")
	}
	f.expect("all are changed", "......", "done")
	f.baseline.Spec.Interval = &metav1.Duration{Duration: time.Hour}
	f.expect("how often it looks is no new setting", "......", "done")
	f.baseline.Spec.EBSDefault.KMSKey = "alias/baseline"
	same(t, "new settings, before the roll-up has said anything", "wwwwww", f.held())
}

func TestWavesFollowEachOther(t *testing.T) {
	f := newFleet(t)
	f.baseline.Spec.Rollout = threeWaves
	f.expect("it begins", "wwww..", "wave 1/3 (canary): 0 of 2 accounts done")
	f.says(4, "")
	f.says(5, v1alpha1.RowAwaitingApproval)
	f.expect("what waits for an approval holds its wave up", "wwww..", "wave 1/3 (canary): 1 of 2 accounts done")
	f.says(5, v1alpha1.RowRejected)
	f.expect("what somebody rejected does not", "wwww..", "wave 1/3 (canary): 2 of 2 accounts done, soaks")
	f.says(5, v1alpha1.RowSettling)
	f.expect("what is changed again stops the soaking", "wwww..", "wave 1/3 (canary): 1 of 2 accounts done")
	f.says(5, "")
	f.expect("and it soaks anew", "wwww..", "wave 1/3 (canary): 2 of 2 accounts done, soaks until 2026-03-01T12:10:00Z")
	f.now = noon.Add(10 * time.Minute)
	f.expect("the second wave", ".www..", "wave 2/3 (early): 0 of 1 accounts done")
	f.says(0, "")
	f.expect("soaks for the default", ".www..", "wave 2/3 (early): 1 of 1 accounts done, soaks until 2026-03-01T13:10:00Z")
	f.now = noon.Add(70 * time.Minute)
	f.expect("the last wave", "......", "wave 3/3 (all others): 0 of 3 accounts done")
}

func TestARolloutPausesItself(t *testing.T) {
	for name, tc := range map[string]struct {
		trouble func(f *fleet)
		paused  string
	}{
		"when a change fails": {func(f *fleet) { f.says(4, v1alpha1.RowRemediationFailed) }, "paused: changes of 1 checks failed in this wave"},
		"when checks of others break": {func(f *fleet) {
			s := &f.accounts[5].Status
			s.Baselines = append(s.Baselines, v1alpha1.AccountBaseline{Kind: "S3Baseline", Name: "organization", Checks: v1alpha1.CheckCounts{Drifted: 2, Unknown: 1}})
		}, "paused: 3 checks of other baselines broke in the accounts of this wave"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.baseline.Spec.Rollout = threeWaves
			// An account of a later wave has had its troubles before, and they are none of the rollout's.
			f.accounts[1].Status.Baselines[0].Failed = 1
			f.expect("it begins", "wwww..", "wave 1/3")
			tc.trouble(f)
			f.expect("it pauses", "pppppp", "wave 1/3 (canary): ")
			same(t, "why", tc.paused, f.baseline.Status.Rollout.Paused)
			f.expect("and stays so", "pppppp", "wave 1/3 (canary): ")
			f.baseline.Annotations = map[string]string{v1alpha1.AnnotationResumeRollout: "1"}
			f.expect("somebody resumes it: what is known already does not pause it again", "wwww..", "wave 1/3 (canary): ")
			f.says(5, v1alpha1.RowRemediationFailed)
			f.expect("what comes on top does", "pppppp", "wave 1/3 (canary): ")
		})
	}
}

func TestWavesThatOverlapChangeNothing(t *testing.T) {
	f := newFleet(t)
	f.baseline.Spec.Rollout = &v1alpha1.Rollout{Waves: []v1alpha1.Wave{
		{Name: "canary", Accounts: v1alpha1.AccountSelector{MatchLabels: map[string]string{"tier": "canary"}}},
		{Name: "early", Accounts: v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{"111111111115"}}},
	}}
	f.expect("overlap", "pppppp", "account 111111111115 is in two waves, canary and early; nothing is changed before one of them leaves it out")
}

func TestTheColumnOfARolloutSaysItInTwoWords(t *testing.T) {
	f := newFleet(t)
	f.baseline.Spec.Rollout = threeWaves
	says := func(want string) {
		t.Helper()
		same(t, f.rollUp().Summary, want, f.baseline.Status.Rollout.Progress)
	}
	for i := range f.accounts {
		f.accounts[i].Labels = nil
	}
	says("1/3 waiting")
	f.accounts[4].Labels = map[string]string{"tier": "canary"}
	says("1/3 under way")
	f.says(4, "")
	says("1/3 soaking")
	f.says(4, v1alpha1.RowRemediationFailed)
	says("1/3 paused")
	f.accounts[0].Labels = map[string]string{"tier": "canary"}
	says("overlap")
	f.accounts[0].Labels = nil
	f.baseline.Annotations = map[string]string{v1alpha1.AnnotationResumeRollout: "1"}
	for i := range f.accounts {
		f.says(i, "")
	}
	says("1/3 soaking")
	f.now = noon.Add(10 * time.Minute)
	says("2/3 soaking")
	f.now = noon.Add(70 * time.Minute)
	says("done")
}

func TestWithoutSoakAllAreChangedAtOnce(t *testing.T) {
	f := newFleet(t)
	f.soak = 0
	f.expect("no waves", "......", "none")
	f.baseline.Spec.Mode, f.soak = v1alpha1.ModeAudit, time.Hour
	if ro := f.rollUp(); ro != nil {
		t.Errorf("a baseline that only reports has a rollout: %+v", ro)
	}
}

func TestCapsOfABaseline(t *testing.T) {
	f := newFleet(t)
	f.baseline.Status.Accounts = 250
	for most, want := range map[string]int{"": 0, "7": 7, "1%": 2, "100%": 250} {
		f.baseline.Spec.Rollout = &v1alpha1.Rollout{MaxAccounts: most, MaxChangesPerPass: 3}
		same(t, "caps with maxAccounts "+most, engine.Caps{Changes: 3, Accounts: want}, capsOf(f.kind()))
	}
	f.baseline.Status.Accounts = 10
	f.baseline.Spec.Rollout = &v1alpha1.Rollout{MaxAccounts: "1%"}
	same(t, "one at least", engine.Caps{Accounts: 1}, capsOf(f.kind()))
}

func TestARolloutDoesNotBeginWithAnAccountThatShowsNothing(t *testing.T) {
	f := newFleet(t)
	for i, a := range f.accounts {
		a.Status.State = v1alpha1.AccountUnreachable
		f.accounts[i] = a
	}
	f.expect("no account can be entered", "wwwwww", "wave 1/2 (first account): 0 of 0 accounts done")
	for i := range f.accounts {
		f.accounts[i].Status.State = ""
	}
	f.accounts[0].Status.State = v1alpha1.AccountUnreachable
	f.accounts[1].Annotations = map[string]string{v1alpha1.AnnotationJoinedAt: f.now.Format(time.RFC3339)}
	f.after = 24 * time.Hour
	f.expect("one cannot be entered, and one is new", "ww.www", "wave 1/2 (first account): 0 of 1 accounts done")
}

func TestAWiderSelectionBeginsAtTheFirstWave(t *testing.T) {
	f := newFleet(t)
	f.baseline.Spec.Accounts = &v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{"111111111113"}}
	f.says(3, "")
	f.expect("one account", "wwwwww"[:3]+"."+"ww", "wave 1/2 (first account): 1 of 1 accounts done, soaks")
	f.now = noon.Add(time.Hour)
	f.expect("it is done", "......", "done")
	f.baseline.Spec.Accounts = &v1alpha1.AccountSelector{All: true}
	same(t, "all are selected, before the roll-up has said anything", "wwwwww", f.held())
	f.expect("one goes first again", ".wwwww", "wave 1/2 (first account): 0 of 1 accounts done")
}

func TestSettingsOfTheWholeOrganizationHaveNoWaves(t *testing.T) {
	b := &v1alpha1.CloudTrailBaseline{Spec: v1alpha1.CloudTrailBaselineSpec{
		BaselineSpec:      v1alpha1.BaselineSpec{Mode: v1alpha1.ModeEnforce},
		OrganizationTrail: &v1alpha1.OrganizationTrail{ControlSpec: on},
	}}
	for _, k := range controls.Kinds() {
		if k.Name != "CloudTrailBaseline" {
			continue
		}
		if ro := newRollUps(organization(), []declared{declare(k, b)}, noon)[0].rollout(time.Hour); ro != nil {
			t.Errorf("rollout: %+v", ro)
		}
	}
}

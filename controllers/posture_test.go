package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// posture reads the scene as a report does: from what is stored alone.
func (s *scene) posture() *Posture {
	p := &Posture{Organization: &v1alpha1.AWSOrganization{Spec: *s.org}, exceptions: s.exceptions, now: s.now}
	for _, b := range s.baselines {
		p.baselines = append(p.baselines, declare(s.kind(), b))
	}
	return p
}

func sumOf(all []Standing) (sum v1alpha1.CheckCounts) {
	for _, s := range all {
		sum.Add(s.Checks)
	}
	return sum
}

func TestAPostureCountsWhatThePassCounted(t *testing.T) {
	for name, arrange := range map[string]func(*scene){
		"all is well":                  func(*scene) {},
		"something departs":            func(s *scene) { s.leave(flag, ireland, "arn:a"); s.leave(policy, global, "arn:b", "arn:c") },
		"something cannot be read":     func(s *scene) { s.fails[volumes+" "+frankfurt] = errors.New("no answer") },
		"a region is refused":          func(s *scene) { s.denied[ireland] = true },
		"the regions cannot be listed": func(s *scene) { s.regionsErr = errors.New("denied") },
		"no region is selected": func(s *scene) {
			s.spec().Regions = &v1alpha1.RegionSelector{Include: []v1alpha1.Region{virginia}}
		},
		"something is excused": func(s *scene) {
			s.leave(flag, ireland, "arn:a")
			s.exceptions = []*v1alpha1.BaselineException{excusing(s.now.Add(time.Hour), flag)}
		},
		"another baseline wins": func(s *scene) {
			s.baselines = append(s.baselines, s.baseline("another", func(b *v1alpha1.EncryptionBaselineSpec) {
				b.Priority, b.EBSDefault = 1, &v1alpha1.EBSDefault{ControlSpec: on}
			}))
		},
		"the account decides for the organization": func(s *scene) {
			s.org.ManagementAccount, s.spec().KMSRotation = member, &v1alpha1.KMSRotation{ControlSpec: on}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			arrange(s)
			s.pass()
			if diff := cmp.Diff(s.account.Status.Checks, sumOf(s.posture().Standings(s.account))); s.regionsErr == nil && !s.nowhere() && diff != "" {
				t.Errorf("checks (-as the pass wrote them +as they are read):\n%s", diff)
			}
			if n := s.account.Status.Checks.Unknown; n > 0 && sumOf(s.posture().Standings(s.account)).Unknown < n {
				t.Errorf("the pass left %d checks unknown, and fewer are read so", n)
			}
		})
	}
}

func (s *scene) nowhere() bool { return s.spec().Regions != nil }

func excusing(until time.Time, controls ...string) *v1alpha1.BaselineException {
	x := &v1alpha1.BaselineException{ObjectMeta: metav1.ObjectMeta{Name: "excuse", UID: "excuse", Generation: 1}}
	from, expires := metav1.NewTime(until.Add(-24*time.Hour)), metav1.NewTime(until)
	x.Spec = v1alpha1.BaselineExceptionSpec{
		Controls: controls, Accounts: &v1alpha1.ExceptionAccounts{Include: []v1alpha1.AccountID{member}}, From: &from, Expires: &expires,
	}
	return x
}

func TestAPostureTakesNothingForCompliantThatWasNotLookedAtAsIsAskedToday(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*scene, *Posture)
		want   v1alpha1.CheckCounts
	}{
		"as it was looked at": {func(*scene, *Posture) {}, v1alpha1.CheckCounts{Total: 5, Compliant: 5}},
		"other settings since": {func(s *scene, p *Posture) {
			s.spec().RDSStorage = nil
			*p = *s.posture()
		}, v1alpha1.CheckCounts{Total: 4, Unknown: 4}},
		"another region since":  {func(s *scene, _ *Posture) { s.account.Status.Regions = append(s.account.Status.Regions, virginia) }, v1alpha1.CheckCounts{Total: 7, Unknown: 7}},
		"cannot be entered":     {func(s *scene, _ *Posture) { s.account.Status.State = v1alpha1.AccountUnreachable }, v1alpha1.CheckCounts{Total: 5, Unknown: 5}},
		"no organization":       {func(_ *scene, p *Posture) { p.Organization = nil }, v1alpha1.CheckCounts{Total: 5, Unknown: 5}},
		"never looked at":       {func(s *scene, _ *Posture) { s.account.Status = v1alpha1.AWSAccountStatus{} }, v1alpha1.CheckCounts{Total: 3, Unknown: 3}},
		"left the organization": {func(s *scene, _ *Posture) { s.account.Annotations[v1alpha1.AnnotationState] = stateLeft }, v1alpha1.CheckCounts{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pass()
			p := s.posture()
			tc.change(s, p)
			if diff := cmp.Diff(tc.want, sumOf(p.Standings(s.account))); diff != "" {
				t.Errorf("checks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPostureCountsAnExcuseThatIsOverAsDrift(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "arn:a")
	s.exceptions = []*v1alpha1.BaselineException{excusing(s.now.Add(time.Hour), flag)}
	s.pass()
	s.later(2 * time.Hour)
	if got := sumOf(s.posture().Standings(s.account)); got.Drifted != 1 || got.Excepted != 0 {
		t.Errorf("counted as %+v, want it drifted", got)
	}
}

func TestAPostureKnowsNothingOfWhatIsDecidedWhereNobodyLooks(t *testing.T) {
	s := newScene(t)
	s.spec().KMSRotation = &v1alpha1.KMSRotation{ControlSpec: on}
	want := []Standing{{
		Account: management, Baseline: "EncryptionBaseline/organization", Control: trail, Severity: v1alpha1.SeverityHigh,
		Checks: v1alpha1.CheckCounts{Total: 1, Unknown: 1},
	}}
	if diff := cmp.Diff(want, s.posture().Undecided([]v1alpha1.AWSAccount{*s.account})); diff != "" {
		t.Errorf("undecided (-want +got):\n%s", diff)
	}
	s.account.Name = management
	if got := s.posture().Undecided([]v1alpha1.AWSAccount{*s.account}); got != nil {
		t.Errorf("undecided although the account is there: %v", got)
	}
}

package controllers

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// rolled is an account as the roll-up meets it, with a row of the baseline.
func rolled(id string, change func(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline)) *v1alpha1.AWSAccount {
	a := accountWith()
	a.Name = id
	a.Status.Baselines = []v1alpha1.AccountBaseline{{
		Kind: "EncryptionBaseline", Name: "organization", Revision: "today", Checks: v1alpha1.CheckCounts{Total: 4, Compliant: 4},
	}}
	a.Status.Regions = []string{frankfurt, ireland}
	if change != nil {
		change(a, &a.Status.Baselines[0])
	}
	return a
}

func counts(c v1alpha1.CheckCounts) func(*v1alpha1.AWSAccount, *v1alpha1.AccountBaseline) {
	return func(_ *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) { row.Checks = c }
}

func TestRollUp(t *testing.T) {
	compliant := rolled("100000000001", nil)
	drifted := rolled("100000000002", counts(v1alpha1.CheckCounts{Total: 4, Compliant: 2, Drifted: 2}))
	unknown := rolled("100000000003", counts(v1alpha1.CheckCounts{Total: 4, Compliant: 3, Unknown: 1}))
	failed := rolled("100000000004", func(_ *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
		row.Checks, row.Failed = v1alpha1.CheckCounts{Total: 4, Compliant: 3, Drifted: 1}, 1
	})
	pending := rolled("100000000005", func(_ *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) { row.Revision = "yesterday" })
	never := rolled("100000000006", func(a *v1alpha1.AWSAccount, _ *v1alpha1.AccountBaseline) { a.Status = v1alpha1.AWSAccountStatus{} })
	unreachable := rolled("100000000007", func(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
		a.Status.State, row.Checks = v1alpha1.AccountUnreachable, v1alpha1.CheckCounts{Total: 4, Unknown: 4}
	})
	left := rolled("100000000008", func(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
		a.Annotations, row.Checks.Drifted = map[string]string{v1alpha1.AnnotationState: stateLeft}, 4
	})
	overridden := rolled("100000000009", func(_ *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
		row.Checks, row.OverriddenBy = v1alpha1.CheckCounts{Overridden: 4}, "special"
	})
	excepted := rolled("100000000010", counts(v1alpha1.CheckCounts{Total: 4, Compliant: 3, Excepted: 1}))
	decides := rolled(management, nil)
	type said struct {
		State                          v1alpha1.BaselineState
		Compliant                      string
		Accounts, Good, Drift, Unknown int32
		Reconciling, Overridden        bool
	}
	for name, tc := range map[string]struct {
		accounts []*v1alpha1.AWSAccount
		change   func(*v1alpha1.EncryptionBaselineSpec)
		want     said
	}{
		"every account has looked and all holds": {[]*v1alpha1.AWSAccount{compliant, decides}, nil, said{"Compliant", "True AllChecksHold", 2, 2, 0, 0, false, false}},
		"what is excused holds":                  {[]*v1alpha1.AWSAccount{compliant, excepted}, nil, said{"Compliant", "True AllChecksHold", 2, 2, 0, 0, false, false}},
		"drift":                                  {[]*v1alpha1.AWSAccount{compliant, drifted, unknown}, nil, said{"Drifted", "False Drifted", 3, 1, 1, 1, false, false}},
		"a change that failed":                   {[]*v1alpha1.AWSAccount{compliant, drifted, failed}, nil, said{"Drifted", "False RemediationFailed", 3, 1, 2, 0, false, false}},
		"one account has not looked at today's settings": {[]*v1alpha1.AWSAccount{compliant, pending}, nil,
			said{"Pending", "Unknown Pending", 2, 1, 0, 1, true, false}},
		"one account has never looked":  {[]*v1alpha1.AWSAccount{compliant, never}, nil, said{"Pending", "Unknown Pending", 2, 1, 0, 1, true, false}},
		"drift before pending":          {[]*v1alpha1.AWSAccount{drifted, pending}, nil, said{"Drifted", "False Drifted", 2, 0, 1, 1, true, false}},
		"one account cannot be entered": {[]*v1alpha1.AWSAccount{compliant, unreachable}, nil, said{"Unknown", "Unknown SelectedAccountsUnreachable", 2, 1, 0, 1, false, false}},
		"one that cannot be entered is not waited for, whatever was seen there": {[]*v1alpha1.AWSAccount{compliant, rolled("100000000011", func(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
			a.Status.State, row.Revision = v1alpha1.AccountUnreachable, "yesterday"
		})}, nil, said{"Unknown", "Unknown SelectedAccountsUnreachable", 2, 1, 0, 1, false, false}},
		"that and something could not be told":  {[]*v1alpha1.AWSAccount{unknown, unreachable}, nil, said{"Unknown", "Unknown ChecksUnknown", 2, 0, 0, 2, false, false}},
		"an account that left does not count":   {[]*v1alpha1.AWSAccount{compliant, left}, nil, said{"Compliant", "True AllChecksHold", 1, 1, 0, 0, false, false}},
		"only accounts that left":               {[]*v1alpha1.AWSAccount{left}, nil, said{"Unknown", "Unknown NoAccountSelected", 0, 0, 0, 0, false, false}},
		"no account at all":                     {nil, nil, said{"Unknown", "Unknown NoAccountSelected", 0, 0, 0, 0, false, false}},
		"every check is another's":              {[]*v1alpha1.AWSAccount{overridden}, nil, said{"Overridden", "Unknown OverriddenByPriority", 1, 0, 0, 0, false, true}},
		"some checks are another's":             {[]*v1alpha1.AWSAccount{compliant, overridden}, nil, said{"Compliant", "True AllChecksHold", 2, 1, 0, 0, false, true}},
		"nothing to check":                      {[]*v1alpha1.AWSAccount{rolled(member, counts(v1alpha1.CheckCounts{}))}, nil, said{"Unknown", "Unknown NoChecks", 1, 0, 0, 0, false, false}},
		"all of it stands outside the total":    {[]*v1alpha1.AWSAccount{rolled(member, counts(v1alpha1.CheckCounts{NotApplicable: 4}))}, nil, said{"Unknown", "Unknown NoChecks", 1, 0, 0, 0, false, false}},
		"settings of the organization, decided": {[]*v1alpha1.AWSAccount{compliant, decides}, withTrail, said{"Compliant", "True AllChecksHold", 2, 2, 0, 0, false, false}},
		"settings of the organization that no account decides are not compliant": {[]*v1alpha1.AWSAccount{compliant}, withTrail,
			said{"Unknown", "Unknown ChecksUnknown", 1, 1, 0, 0, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if tc.change != nil {
				tc.change(s.spec())
			}
			all := newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)
			all[0].revision = "today"
			for _, a := range tc.accounts {
				all[0].add(a)
			}
			var out v1alpha1.BaselineStatus
			all[0].status(&out, 7, true, noon)
			c := findCondition(out.Conditions, v1alpha1.ConditionCompliant)
			same(t, "status", tc.want, said{
				out.State, string(c.Status) + " " + c.Reason, out.Accounts, out.Compliant, out.Drifted, out.Unknown,
				findCondition(out.Conditions, v1alpha1.ConditionReconciling) != nil, findCondition(out.Conditions, v1alpha1.ConditionOverridden) != nil,
			})
			for _, c := range out.Conditions {
				same(t, c.Type+"'s generation", int64(7), c.ObservedGeneration)
			}
			again := *out.DeepCopy()
			all[0].status(&again, 7, true, noon)
			same(t, "the same numbers give the same status", out, again)
		})
	}
}

func withTrail(b *v1alpha1.EncryptionBaselineSpec) {
	b.KMSRotation = &v1alpha1.KMSRotation{ControlSpec: on}
}

func TestWithoutAnOrganizationNothingIsCounted(t *testing.T) {
	s := newScene(t)
	all := newRollUps(nil, []declared{declare(s.kind(), s.baselines[0])}, s.now)
	all[0].add(rolled(member, nil))
	var out v1alpha1.BaselineStatus
	all[0].status(&out, 1, true, noon)
	if ready := findCondition(out.Conditions, v1alpha1.ConditionReady); ready.Reason != v1alpha1.ReasonNoOrganization || out.State != v1alpha1.BaselineUnknown {
		t.Errorf("Ready is %s, the state %s", ready.Reason, out.State)
	}
}

func TestABaselineAnswersWhenEveryAccountHas(t *testing.T) {
	s := newScene(t)
	s.baselines[0].Annotations[v1alpha1.AnnotationReconcileRequestedAt] = "two"
	answered := func(id, token string) *v1alpha1.AWSAccount {
		return rolled(id, func(_ *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) { row.HandledReconcileAt = token })
	}
	for name, tc := range map[string]struct {
		accounts []*v1alpha1.AWSAccount
		want     string
	}{
		"all have":          {[]*v1alpha1.AWSAccount{answered(member, "two"), answered(otherOne, "two")}, "two"},
		"one has not":       {[]*v1alpha1.AWSAccount{answered(member, "two"), answered(otherOne, "one")}, "one"},
		"one has no row":    {[]*v1alpha1.AWSAccount{answered(member, "two"), {ObjectMeta: metav1.ObjectMeta{Name: otherOne}}}, "one"},
		"nobody is asked":   {nil, "two"},
		"one that has left": {[]*v1alpha1.AWSAccount{answered(member, "two"), {ObjectMeta: metav1.ObjectMeta{Name: otherOne, Annotations: map[string]string{v1alpha1.AnnotationState: stateLeft}}}}, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			sum := newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)[0]
			for _, a := range tc.accounts {
				sum.add(a)
			}
			out := v1alpha1.BaselineStatus{LastHandledReconcileAt: "one"}
			sum.status(&out, 1, true, noon)
			same(t, "answered", tc.want, out.LastHandledReconcileAt)
		})
	}
}

func TestCountsOfControlsAndTheWorstAccounts(t *testing.T) {
	s := newScene(t)
	sum := newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)[0]
	sum.revision = "today"
	for i := range 12 {
		sum.add(rolled(fmt.Sprintf("1000000000%02d", i), func(a *v1alpha1.AWSAccount, row *v1alpha1.AccountBaseline) {
			row.Checks = v1alpha1.CheckCounts{Total: 40, Drifted: int32(i % 4), Unknown: int32(i % 3)}
			a.Status.Controls = []v1alpha1.AccountControl{
				{Control: policy, Baseline: "EncryptionBaseline/organization", Drifted: map[string]int32{everyRegion: 2}, Unknown: map[string]int32{everyRegion: 1}},
				{Control: flag, Baseline: "EncryptionBaseline/organization", Unknown: map[string]int32{everyRegion: 1}},
				{Control: volumes, Baseline: "EncryptionBaseline/organization", Excepted: map[string]int32{everyRegion: 1}},
				{Control: trail, Baseline: "EncryptionBaseline/organization", NotApplicable: []string{ireland}},
				{Control: flag, Baseline: "EncryptionBaseline/another", Drifted: map[string]int32{everyRegion: 1}},
			}
		}))
	}
	same(t, "controls", []v1alpha1.BaselineControlCount{{Control: flag, Unknown: 12}, {Control: policy, Drifted: 12}, {Control: volumes, Excepted: 12}}, sum.controlCounts())
	worst := sum.worstOnes()
	same(t, "how many are named", worstAccounts, len(worst))
	same(t, "the worst", v1alpha1.BaselineAccountCount{Account: "100000000011", Drifted: 3, Unknown: 2}, worst[0])
}

func TestWhatABaselineSaysOfItself(t *testing.T) {
	type said struct {
		Mode             v1alpha1.Mode
		Enforcing, Names string
	}
	enforce := func(b *v1alpha1.EncryptionBaselineSpec) { b.Mode = v1alpha1.ModeEnforce }
	for name, tc := range map[string]struct {
		change      func(*v1alpha1.EncryptionBaselineSpec)
		allowWrites bool
		want        said
	}{
		"audit":                  {func(*v1alpha1.EncryptionBaselineSpec) {}, true, said{v1alpha1.ModeAudit, "", ""}},
		"enforce":                {enforce, true, said{v1alpha1.ModeEnforce, "True WritesAllowed", ""}},
		"enforce in one section": {func(b *v1alpha1.EncryptionBaselineSpec) { b.EBSDefault.Mode = v1alpha1.ModeEnforce }, true, said{v1alpha1.ModeEnforce, "True WritesAllowed", ""}},
		"a manager that may not": {enforce, false, said{v1alpha1.ModeEnforce, "False WritesDisabled", ""}},
		"suspended":              {func(b *v1alpha1.EncryptionBaselineSpec) { enforce(b); b.Suspend = true }, true, said{v1alpha1.ModeAudit, "False Suspended", ""}},
		"a region that no account has": {func(b *v1alpha1.EncryptionBaselineSpec) {
			b.Regions = &v1alpha1.RegionSelector{Include: []v1alpha1.Region{ireland, "eu-wst-1"}}
		}, true, said{v1alpha1.ModeAudit, "", v1alpha1.ReasonUnknownRegion}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			tc.change(s.spec())
			sum := newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)[0]
			sum.add(rolled(member, nil))
			var out v1alpha1.BaselineStatus
			sum.status(&out, 1, tc.allowWrites, noon)
			got := said{Mode: out.Mode}
			if c := findCondition(out.Conditions, v1alpha1.ConditionEnforcing); c != nil {
				got.Enforcing = string(c.Status) + " " + c.Reason
			}
			if c := findCondition(out.Conditions, v1alpha1.ConditionUnknownNames); c != nil {
				got.Names = c.Reason
			}
			same(t, "status", tc.want, got)
		})
	}
}

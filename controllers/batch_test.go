package controllers

import (
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// proposedIn are the Remediations of some of a fleet's accounts, as they wait for an approval.
func (f *fleet) proposedIn(accounts ...int) (all []v1alpha1.Remediation) {
	for _, i := range accounts {
		f.says(i, v1alpha1.RowAwaitingApproval)
		r := v1alpha1.Remediation{Status: proposal(f.accounts[i].Name)}
		r.Name, r.Status.Control = r.Status.Account, f.kind().controls[0].ID
		all = append(all, r)
	}
	return all
}

// sum sums the accounts, with how far the rollout is and what is on record.
func (f *fleet) sum(records []v1alpha1.Remediation) *sum {
	s := newRollUps(organization(), []declared{f.kind()}, f.now)[0]
	for _, a := range f.accounts {
		s.add(a)
	}
	s.rollOut(f.soak)
	s.records, f.baseline.Status.Rollout = records, s.rolled
	return s
}

func TestABatchSaysOfWhichWaveItIs(t *testing.T) {
	f := newFleet(t)
	f.baseline.Spec.Rollout = threeWaves
	is := func(what, want string, accounts ...int) {
		t.Helper()
		all := f.sum(f.proposedIn(accounts...)).proposals()
		if len(all) != 1 {
			t.Fatalf("%s: proposals are %+v", what, all)
		}
		same(t, what, want, all[0].Wave)
	}
	is("the first wave", "canary", 4, 5)
	is("waves were changed, and an account of a later one is in it", "", 4, 0)
	f.says(0, "")
	f.says(4, "")
	f.says(5, "")
	f.sum(nil)
	f.now = noon.Add(10 * time.Minute)
	f.sum(nil)
	is("the second wave, and one of the first that has drifted again", "early", 0, 5)
	f.baseline.Status.Rollout.Wave = 3
	is("all waves are done", "", 2)
	f.baseline.Spec.Rollout, f.soak, f.baseline.Status.Rollout = nil, time.Hour, nil
	is("without named waves", "first account", 0)
	f.soak = 0
	is("all accounts at once", "", 0)
}

func TestAnApprovalOfAnotherWaveIsRefused(t *testing.T) {
	const of = `approvals[0] (ebs-default-encryption): `
	for name, tc := range map[string]struct {
		wave, digest string
		rolled       bool
		refused      []string // reason and message
	}{
		"the wave of the batch":       {wave: "canary", rolled: true},
		"no wave":                     {rolled: true},
		"no wave where there is none": {},
		"another wave": {wave: "early", rolled: true, refused: []string{v1alpha1.ReasonOtherWave,
			of + `it is for wave "early", and what is proposed now is of wave "canary"; look at status.proposals again, and write that wave to approve it`}},
		"a wave where there is none": {wave: "early", refused: []string{v1alpha1.ReasonOtherWave,
			of + `it is for wave "early", and what is proposed now is of no one wave; look at status.proposals again, and leave wave out to approve it`}},
		"the right wave with another digest": {wave: "canary", rolled: true, digest: "0", refused: []string{v1alpha1.ReasonOtherDigest,
			of + `its digest is not that of what is proposed now; read status.proposals again`}},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := newCluster(t), newFleet(t)
			if tc.rolled {
				f.baseline.Spec.Rollout = threeWaves
			} else {
				f.soak = 0
			}
			var records []v1alpha1.Remediation
			for _, r := range f.proposedIn(4, 5) {
				made, err := c.records.make(t.Context(), r.Status, false, 0)
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, *made)
			}
			a := v1alpha1.BatchApproval{Control: f.kind().controls[0].ID, Wave: tc.wave, Digest: tc.digest, By: "alice"}
			if a.Digest == "" {
				a.Digest = f.sum(records).proposals()[0].Digest
			}
			f.baseline.Spec.Approvals = []v1alpha1.BatchApproval{a}
			s := f.sum(records)
			refused, err := s.approve(t.Context(), c.records.Remediations)
			if err != nil {
				t.Fatal(err)
			}
			want := v1alpha1.RemediationApproved
			if tc.refused != nil {
				want = v1alpha1.RemediationProposed
			}
			for _, r := range records {
				same(t, "phase", want, reload(c, r.Name, &v1alpha1.Remediation{}).Status.Phase)
			}

			var out v1alpha1.BaselineStatus
			s.refused = refused
			s.status(&out, 1, true, f.now)
			condition := findCondition(out.Conditions, v1alpha1.ConditionApprovalsRefused)
			var said []string
			if condition != nil {
				said = []string{condition.Reason, condition.Message}
			}
			same(t, "condition", tc.refused, said)
		})
	}
}

func TestABatchThatWasBegunIsFinishedWhateverTheWave(t *testing.T) {
	c, f := newCluster(t), newFleet(t)
	f.baseline.Spec.Rollout = threeWaves
	var records []v1alpha1.Remediation
	for _, r := range f.proposedIn(4, 5) {
		made, err := c.records.make(t.Context(), r.Status, false, 0)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, *made)
	}
	a := v1alpha1.BatchApproval{Control: f.kind().controls[0].ID, Wave: "canary", Digest: f.sum(records).proposals()[0].Digest, By: "alice"}
	if err := c.records.approveOne(t.Context(), &records[0], a); err != nil { // and the manager was killed
		t.Fatal(err)
	}
	records[0] = *reload(c, records[0].Name, &v1alpha1.Remediation{})
	f.baseline.Spec.Approvals = []v1alpha1.BatchApproval{a}
	f.baseline.Spec.Rollout = nil // somebody drops the waves
	refused, err := f.sum(records).approve(t.Context(), c.records.Remediations)
	if err != nil || len(refused) > 0 {
		t.Fatalf("refused %v, error %v", refused, err)
	}
	same(t, "phase", v1alpha1.RemediationApproved, reload(c, records[1].Name, &v1alpha1.Remediation{}).Status.Phase)
	// Once it is used, it is no mistake that another wave is under way.
	f.baseline.Spec.Rollout, f.now = threeWaves, f.now.Add(time.Hour)
	refused, err = f.sum([]v1alpha1.Remediation{*reload(c, records[1].Name, &v1alpha1.Remediation{})}).approve(t.Context(), c.records.Remediations)
	if err != nil || len(refused) > 0 {
		t.Fatalf("refused %v, error %v", refused, err)
	}
}

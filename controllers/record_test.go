package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

func newRecorder() (*Record, func() []string) {
	fake := events.NewFakeRecorder(1000)
	r := NewRecord(fake, prometheus.NewRegistry(), func() time.Time { return noon })
	return r, func() []string {
		var all []string
		for {
			select {
			case e := <-fake.Events:
				all = append(all, e)
			default:
				return all
			}
		}
	}
}

func TestAProtectionThatIsContestedIsCriticalWhateverItsControlIs(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	s.enforce() // a control that protects, of severity High
	r, heard := newRecorder()
	var contested []string
	for range 5 {
		s.leave(flag, ireland, "a")
		s.event(flag, ireland)
		before := s.account.Status.DeepCopy()
		if s.pass().Wrote {
			r.Transitions(s.account, before, &s.account.Status)
		}
		for _, e := range heard() {
			if strings.HasPrefix(e, "Warning Contested ") {
				contested = append(contested, e)
			}
		}
	}
	if len(contested) != 1 || !strings.HasPrefix(contested[0], "Warning Contested Critical, a protection is taken away again and again: ") {
		t.Errorf("the events are %q", contested)
	}

	row := s.account.Status.Drift[0]
	row.Severity, row.Message = v1alpha1.SeverityLow, "put right 3 times within an hour and changed back each time; "+engine.RestoresNoProtection
	r.contested(s.account, &v1alpha1.AWSAccountStatus{}, &v1alpha1.AWSAccountStatus{Drift: []v1alpha1.DriftRow{row}})
	if other := heard(); len(other) != 1 || !strings.HasPrefix(other[0], "Warning Contested Low: ") {
		t.Errorf("of what restores no protection: %q", other)
	}
}

// Passes of an account write events when something changes, and only then.
func TestEventsAreWrittenOnTransitionsOnly(t *testing.T) {
	s := newScene(t)
	s.enabled = []string{ireland}
	r, heard := newRecorder()
	pass := func() []string {
		before := s.account.Status.DeepCopy()
		if s.pass().Wrote {
			r.Transitions(s.account, before, &s.account.Status)
		}
		var short []string
		for _, e := range heard() {
			words := strings.Fields(e)
			short = append(short, words[0]+" "+words[1]+" "+words[2])
		}
		return short
	}
	s.leave(flag, ireland, "a", "b")
	same(t, "the first look", []string{"Warning Drifted ->", "Warning ControlDrifted ebs-flag"}, pass())
	same(t, "nothing new", []string(nil), pass())
	s.later(time.Hour)
	same(t, "another look that finds the same", []string(nil), pass())
	delete(s.found[flag+" "+ireland], "a")
	s.later(time.Hour)
	same(t, "one resource less", []string(nil), pass())
	s.fails[flag+" "+ireland] = apiError{"AccessDenied", "no"}
	s.later(time.Hour)
	same(t, "what cannot be told has not settled", []string{"Normal Unknown Drifted"}, pass())
	delete(s.fails, flag+" "+ireland)
	s.later(time.Hour)
	same(t, "it is there still", []string{"Warning Drifted Unknown", "Warning ControlDrifted ebs-flag"}, pass())
	s.spec().EBSDefault.KMSKey = "alias/other"
	s.skips = func(id checkID) bool { return id.Control == flag }
	same(t, "what was not looked at has not settled", []string{"Normal Pending Drifted"}, pass())
	s.skips = nil
	same(t, "it is there still", []string{"Warning Drifted Pending", "Warning ControlDrifted ebs-flag"}, pass())
	s.exceptions = []*v1alpha1.BaselineException{exception("x", s.now, s.now.Add(24*time.Hour), flag)}
	same(t, "excused", []string{"Normal Compliant Drifted", "Normal ControlSettled ebs-flag"}, pass())
	s.exceptions = nil
	same(t, "excused no more", []string{"Warning Drifted Compliant", "Warning ControlDrifted ebs-flag"}, pass())
	s.found = nil
	s.later(time.Hour)
	same(t, "mended", []string{"Normal Compliant Drifted", "Normal ControlSettled ebs-flag"}, pass())
	s.leave2(flag, ireland, "a")
	s.later(time.Hour)
	pass()
	s.baselines = s.baselines[:0]
	same(t, "nobody asks any more", []string{"Normal Unknown Drifted"}, pass())
}

// leave2 is leave on a scene that was emptied.
func (s *scene) leave2(controlID, region string, resources ...string) {
	s.found = map[string]map[string]bool{}
	s.leave(controlID, region, resources...)
}

func TestManyControlsThatDriftAtOnceAreOneEvent(t *testing.T) {
	status := func(drifted ...string) *v1alpha1.AWSAccountStatus {
		s := &v1alpha1.AWSAccountStatus{State: v1alpha1.AccountDrifted}
		for _, id := range drifted {
			s.Controls = append(s.Controls, v1alpha1.AccountControl{Control: id, Reason: v1alpha1.RowAudit, Drifted: map[string]int32{ireland: 1}})
		}
		return s
	}
	r, heard := newRecorder()
	r.Transitions(accountWith(), status("a"), status("e", "d", "a", "c", "b"))
	same(t, "four", []string{"Warning ControlDrifted 4 controls: b, c, d, e"}, heard())
	r.Transitions(accountWith(), status("a"), status("a", "c", "b"))
	same(t, "two", []string{"Warning ControlDrifted b has drifted (Audit)", "Warning ControlDrifted c has drifted (Audit)"}, heard())
}

func TestAnAccountThatGoesAwaySettlesNothing(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a")
	s.pass()
	r, heard := newRecorder()
	w := s.world()
	unreachable := unreachableStatus(w, makePlan(w), apiError{"AccessDenied", "no"})
	left := absentStatus(s.account, s.now)
	for name, after := range map[string]*v1alpha1.AWSAccountStatus{"unreachable": &unreachable, "left": &left} {
		r.Transitions(s.account, &s.account.Status, after)
		for _, e := range heard() {
			if strings.Contains(e, "ControlSettled") {
				t.Errorf("%s: %s", name, e)
			}
		}
	}
}

func TestEveryWriteLeavesAnEventBeforeAndAfterIt(t *testing.T) {
	r, heard := newRecorder()
	ctx := withAccount(context.Background(), accountWith())
	c := engine.Change{
		Account: member, Region: ireland, Control: flag, Baseline: "EncryptionBaseline/organization", Resource: "arn:x\u202e", Risk: control.Safe,
		BeforeDigest: "0123456789ab", Fields: []control.Field{{Path: "a", Want: "secret", Got: "old"}, {Path: "b"}},
	}
	r.Changing(ctx, c)
	r.Changed(ctx, c, nil)
	r.Changed(ctx, c, apiError{"AccessDenied", strings.Repeat("no ", 1000)})
	got := heard()
	for i, want := range []string{"Normal Changing ebs-flag: changing arn:x", "Normal Changed ebs-flag: changed arn:x", "Warning ChangeFailed ebs-flag: arn:x"} {
		if !strings.HasPrefix(got[i], want) || len(got[i]) > 1100 || strings.ContainsRune(got[i], '\u202e') || strings.Contains(got[i], "secret") {
			t.Errorf("event %d is %q", i, got[i])
		}
	}
	if !strings.Contains(got[0], "(a,b, before-state 0123456789ab)") {
		t.Errorf("event: %s", got[0])
	}
}

func TestABaselineSaysOnceThatItCannotEnforce(t *testing.T) {
	s := newScene(t)
	s.enforce()
	r, heard := newRecorder()
	var status v1alpha1.BaselineStatus
	roll := func(allowWrites bool) []string {
		before := status.DeepCopy()
		newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)[0].status(&status, 1, allowWrites, noon)
		r.Baseline(s.baselines[0], before, &status)
		return heard()
	}
	first := fmt.Sprint(roll(false))
	if strings.Count(first, "WritesDisabled") != 1 {
		t.Errorf("first: %s", first)
	}
	same(t, "the second time", []string(nil), roll(false))
	same(t, "when it may", []string(nil), roll(true))
}

func TestTheOldestObservationIsThatOfAccountsThatAreWorkedOn(t *testing.T) {
	r, _ := newRecorder()
	some := v1alpha1.CheckCounts{Total: 1}
	at := func(d time.Duration, state v1alpha1.AccountState) *v1alpha1.AWSAccountStatus {
		return &v1alpha1.AWSAccountStatus{State: state, LastObservedTime: stamp(noon.Add(-d)), Checks: some}
	}
	r.Account("1", noon, at(time.Minute, v1alpha1.AccountCompliant))
	r.Account("2", noon, at(time.Hour, v1alpha1.AccountUnreachable))
	r.Account("3", noon, at(time.Hour*5, v1alpha1.AccountDrifted))
	r.Account("4", noon, at(time.Hour*9, v1alpha1.AccountCompliant))
	r.Account("3", noon, at(time.Hour*5, v1alpha1.AccountLeft))
	r.Account("5", noon.Add(-time.Hour*9), &v1alpha1.AWSAccountStatus{State: v1alpha1.AccountUnknown}) // nothing is to be checked there
	r.Forget("4")
	same(t, "age", time.Hour.Seconds(), r.oldestAge())
	r.Account("6", noon.Add(-2*time.Hour), &v1alpha1.AWSAccountStatus{State: v1alpha1.AccountUnreachable, Checks: some})
	same(t, "age with an account that was never reached", (2 * time.Hour).Seconds(), r.oldestAge())
}

func TestSlimAccountKeepsWhatSelectingAndSummingNeed(t *testing.T) {
	s := newScene(t)
	s.leave(flag, ireland, "a", "b")
	s.leave(volumes, frankfurt, "c")
	s.fails[policy+" "+global] = apiError{"AccessDenied", "no"}
	s.pass()
	sums := func(a *v1alpha1.AWSAccount) v1alpha1.BaselineStatus {
		sum := newRollUps(&v1alpha1.AWSOrganization{Spec: *s.org}, []declared{declare(s.kind(), s.baselines[0])}, s.now)[0]
		sum.add(a)
		var out v1alpha1.BaselineStatus
		sum.status(&out, 1, true, noon)
		return out
	}
	s.account.Labels["tier"] = "prod"
	slim, err := SlimAccount(s.account.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	again, err := SlimAccount(slim)
	if err != nil {
		t.Fatal(err)
	}
	a := again.(*v1alpha1.AWSAccount)
	same(t, "roll-up", sums(s.account), sums(a))
	same(t, "labels", s.account.Labels, a.Labels)
	same(t, "regions", s.account.Status.Regions, a.Status.Regions)
	same(t, "rows", 0, len(a.Status.Drift))
	if other, err := SlimAccount("a tombstone"); other != "a tombstone" || err != nil {
		t.Errorf("something else becomes %v, %v", other, err)
	}
}

// Requests are counted by what they are for, beside the counts by operation: never one times the other.
func TestRequestsAreCountedByPurpose(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := NewRecord(events.NewFakeRecorder(1), registry, func() time.Time { return noon })
	for _, a := range []cloud.Attempt{
		{Account: "1", Region: ireland, Service: "S3", Operation: "ListBuckets", Outcome: cloud.OutcomeOK, Purpose: "s3.buckets"},
		{Account: "2", Region: ireland, Service: "S3", Operation: "GetBucketPolicy", Outcome: cloud.OutcomeOK, Purpose: "s3-secure-transport"},
		{Account: "2", Region: frankfurt, Service: "S3", Operation: "GetBucketPolicy", Outcome: cloud.OutcomeOK, Purpose: "s3-secure-transport"},
		{Account: "3", Region: frankfurt, Service: "S3", Operation: "GetBucketPolicy", Outcome: cloud.OutcomeOK},
	} {
		r.AWSCall(a)
	}
	r.Pass(35)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if name := f.GetName(); name == "plumbline_pass_requests" {
				got = append(got, fmt.Sprint(name, " ", m.GetHistogram().GetSampleCount(), " ", m.GetHistogram().GetSampleSum()))
			} else if len(labels) > 0 {
				got = append(got, fmt.Sprint(name, " ", labels, " ", m.GetCounter().GetValue()))
			}
		}
	}
	same(t, "metrics", []string{
		"plumbline_aws_calls_total [GetBucketPolicy ok S3] 3", "plumbline_aws_calls_total [ListBuckets ok S3] 1",
		"plumbline_control_requests_total [other] 1", "plumbline_control_requests_total [s3-secure-transport] 2",
		"plumbline_control_requests_total [s3.buckets] 1",
		"plumbline_pass_requests 1 35",
	}, got)
}

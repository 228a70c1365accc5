package controllers

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// regions17 are as many regions as an account has by default.
func regions17() []string {
	var all []string
	for i := range 17 {
		all = append(all, fmt.Sprintf("ap-northeast-%d", i+1))
	}
	return all
}

// the first day of an adoption: everything is wrong everywhere, in every way.
func everythingIsWrong(controls int) v1alpha1.AWSAccountStatus {
	long := strings.Repeat("a message that explains at length what is wrong ", 20)
	s := v1alpha1.AWSAccountStatus{Regions: regions17(), DeniedRegions: regions17()[:4]}
	for i := range 5 {
		s.Baselines = append(s.Baselines, v1alpha1.AccountBaseline{
			Kind: "CloudTrailBaseline", Name: fmt.Sprintf("organization-wide-baseline-%d", i), Revision: "0123456789ab", Covered: "0123456789ab",
			Regions: append(regions17(), global), LastObservedTime: stamp(noon), ResourcesObservedTime: stamp(noon), Exceptions: "0123456789ab",
			HandledReconcileAt: "2026-03-01T12:00:00.000000Z",
		})
	}
	for i := range controls {
		c := v1alpha1.AccountControl{
			Control: fmt.Sprintf("a-control-with-a-long-name-%02d", i), Baseline: "CloudTrailBaseline/organization-wide-baseline",
			Severity: v1alpha1.SeverityMedium, Reason: v1alpha1.RowAwaitingApproval, Message: long[:maxMessage],
			Drifted: map[string]int32{}, Unknown: map[string]int32{}, Excepted: map[string]int32{}, NotApplicable: regions17(), Failed: regions17(),
		}
		for k, region := range regions17() {
			c.Drifted[region], c.Unknown[region], c.Excepted[region] = int32(1000+k), 12, 345
		}
		s.Controls = append(s.Controls, c)
	}
	for i := range maxRows {
		s.Drift = append(s.Drift, v1alpha1.DriftRow{
			Control: s.Controls[i%controls].Control, Region: regions17()[i%17], Resource: long[:maxMessage], Field: long[:maxValue], Desired: long[:maxValue],
			Observed: long[:maxValue], Severity: v1alpha1.SeverityMedium, Reason: v1alpha1.RowAwaitingApproval, Message: long[:maxMessage],
		})
	}
	for _, c := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionCompliant, v1alpha1.ConditionReachable, v1alpha1.ConditionReconciling, v1alpha1.ConditionUnknownNames} {
		s.Conditions = append(s.Conditions, metav1.Condition{Type: c, Status: "Unknown", Reason: "ChecksUnknown", Message: (long + long)[:1024]})
	}
	return s
}

func TestAStatusFitsWhateverIsWrong(t *testing.T) {
	for _, controls := range []int{1, 10, 30, 60} {
		s := everythingIsWrong(controls)
		whole := everythingIsWrong(controls)
		kept := s.Controls
		fit(&s)
		if n := size(&s); n > maxStatusSize {
			t.Errorf("with %d controls the status has %d bytes", controls, n)
		}
		if controls > 1 && !s.Truncated {
			t.Errorf("with %d controls it does not say that it was cut", controls)
		}
		same(t, "what is remembered is not cut", whole.Controls, kept)
		for i, c := range s.Controls {
			for _, region := range regions17() {
				if in(c.Drifted, region) == 0 || in(c.Unknown, region) == 0 || in(c.Excepted, region) == 0 {
					t.Fatalf("with %d controls control %d has no drift in %s any more: %v", controls, i, region, c.Drifted)
				}
			}
		}
	}
}

func TestAStatusFitsWithManyBaselines(t *testing.T) {
	s := everythingIsWrong(60)
	for len(s.Baselines) < 20 {
		s.Baselines = append(s.Baselines, s.Baselines[0])
	}
	fit(&s)
	if n := size(&s); n > maxStatusSize {
		t.Errorf("the status has %d bytes", n)
	}
}

func TestANameThatAPersonWroteIsBounded(t *testing.T) {
	s := newScene(t)
	s.account.Annotations[v1alpha1.AnnotationName] = strings.Repeat("x", 100_000)
	s.account.Annotations[v1alpha1.AnnotationOUPath] = strings.Repeat("y", 100_000)
	s.pass()
	if n := size(&s.account.Status); n > 4000 {
		t.Errorf("the status has %d bytes", n)
	}
}

func TestWhatFitsIsNotCut(t *testing.T) {
	s := everythingIsWrong(1)
	s.Drift = s.Drift[:3]
	want := s.DeepCopy()
	fit(&s)
	same(t, "status", want, &s)
}

func TestTheSamePassGivesTheSameBytes(t *testing.T) {
	var first string
	for i := range 20 {
		random := rand.New(rand.NewSource(int64(i))) //nolint:gosec // a shuffle of a test
		s := newScene(t)
		s.enabled = regions17()
		random.Shuffle(len(s.enabled), func(a, b int) { s.enabled[a], s.enabled[b] = s.enabled[b], s.enabled[a] })
		slices.Sort(s.enabled) // the cloud sorts them
		for _, region := range regions17() {
			s.leave(flag, region, "a", "b", "c")
			s.leave(volumes, region, "d", "e")
		}
		s.fails[policy+" "+global] = apiError{"AccessDenied", "no"}
		s.denied[regions17()[3]], s.denied[regions17()[9]] = true, true
		s.baselines = append(s.baselines, s.baseline("b", func(b *v1alpha1.EncryptionBaselineSpec) { b.RDSStorage = &v1alpha1.RDSStorage{ControlSpec: on} }),
			s.baseline("a", func(b *v1alpha1.EncryptionBaselineSpec) { b.RDSStorage = &v1alpha1.RDSStorage{ControlSpec: on} }))
		random.Shuffle(len(s.baselines), func(a, b int) { s.baselines[a], s.baselines[b] = s.baselines[b], s.baselines[a] })
		s.exceptions = []*v1alpha1.BaselineException{
			exception("x", noon, noon.Add(time.Hour), flag), exception("y", noon, noon.Add(2*time.Hour), flag), exception("z", noon, noon.Add(time.Hour), policy),
		}
		random.Shuffle(len(s.exceptions), func(a, b int) { s.exceptions[a], s.exceptions[b] = s.exceptions[b], s.exceptions[a] })
		s.pass()
		raw, err := json.Marshal(s.account.Status)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(raw)
		}
		same(t, "status", first, string(raw))
	}
}

func TestTheWorstRowsAreShown(t *testing.T) {
	row := func(severity v1alpha1.Severity, since time.Time, excepted, resource string) v1alpha1.DriftRow {
		return v1alpha1.DriftRow{Severity: severity, Since: metav1.NewTime(since), Excepted: excepted, Resource: resource}
	}
	sorted := []v1alpha1.DriftRow{
		row(v1alpha1.SeverityCritical, noon, "", "z"),
		row(v1alpha1.SeverityHigh, noon.Add(-time.Hour), "", "z"),
		row(v1alpha1.SeverityHigh, noon, "", "a"),
		row(v1alpha1.SeverityHigh, noon, "", "b"),
		row(v1alpha1.SeverityLow, noon.Add(-48*time.Hour), "", "a"),
		row(v1alpha1.SeverityCritical, noon.Add(-48*time.Hour), "x", "a"),
	}
	m := merge{rows: slices.Clone(sorted)}
	slices.Reverse(m.rows)
	got, cut := m.worstRows()
	same(t, "rows", sorted, got)
	same(t, "cut", false, cut)
	for range 4 {
		m.rows = append(m.rows, sorted...)
	}
	got, cut = m.worstRows()
	same(t, "the number of rows", maxRows, len(got))
	same(t, "cut", true, cut)
}

func TestRowsOfADepartureAreBoundedAndOfItsFields(t *testing.T) {
	s := newScene(t)
	long := strings.Repeat("x", 2000)
	s.leave(flag, ireland, long)
	s.pass()
	d := s.account.Status.Drift[0]
	if len(d.Resource) > maxMessage || !strings.HasSuffix(d.Resource, "…") {
		t.Errorf("the resource has %d bytes", len(d.Resource))
	}
	s.later(time.Hour)
	same(t, "a long name is the same departure the next time", false, func() bool { p := s.pass(); return p.Wrote && !s.account.Status.Drift[0].Since.Equal(&d.Since) }())
}

func TestWorthWriting(t *testing.T) {
	at := func(minutes int) *metav1.Time { return stamp(noon.Add(time.Duration(minutes) * time.Minute)) }
	base := v1alpha1.AWSAccountStatus{LastObservedTime: at(0), Baselines: []v1alpha1.AccountBaseline{{Name: "a", LastObservedTime: at(0)}}}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.AWSAccountStatus)
		want   bool
	}{
		"nothing": {func(*v1alpha1.AWSAccountStatus) {}, false},
		"times a little later": {func(s *v1alpha1.AWSAccountStatus) {
			s.LastObservedTime, s.Baselines[0].LastObservedTime = at(14), at(14)
		}, false},
		"times a quarter of an hour on":   {func(s *v1alpha1.AWSAccountStatus) { s.LastObservedTime = at(15) }, true},
		"a count":                         {func(s *v1alpha1.AWSAccountStatus) { s.Checks.Drifted = 1 }, true},
		"a token":                         {func(s *v1alpha1.AWSAccountStatus) { s.LastHandledReconcileAt = "x" }, true},
		"what a row stands for":           {func(s *v1alpha1.AWSAccountStatus) { s.Baselines[0].Covered = "x" }, true},
		"a condition's message":           {func(s *v1alpha1.AWSAccountStatus) { s.Conditions = []metav1.Condition{{Message: "x"}} }, true},
		"nil lists and empty ones":        {func(s *v1alpha1.AWSAccountStatus) { s.Drift = []v1alpha1.DriftRow{} }, false},
		"a first look at an empty status": {func(s *v1alpha1.AWSAccountStatus) { s.LastObservedTime = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			after := base.DeepCopy()
			tc.change(after)
			if got := worthWriting(&base, after, observedEvery); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestStatesAndConditions(t *testing.T) {
	refused := apiError{"AccessDenied", "no"}
	type summary struct {
		State                                v1alpha1.AccountState
		Compliant, Ready, Reachable          string
		Reconciling, Stalled, ObservedOthers bool
	}
	of := func(s *v1alpha1.AWSAccountStatus, generation int64) summary {
		say := func(of string) string {
			if c := findCondition(s.Conditions, of); c != nil {
				return string(c.Status) + " " + c.Reason
			}
			return ""
		}
		out := summary{
			s.State, say(v1alpha1.ConditionCompliant), say(v1alpha1.ConditionReady), say(v1alpha1.ConditionReachable),
			say(v1alpha1.ConditionReconciling) != "", say(v1alpha1.ConditionStalled) != "", false,
		}
		for _, c := range s.Conditions {
			out.ObservedOthers = out.ObservedOthers || c.ObservedGeneration != generation
		}
		return out
	}
	for name, tc := range map[string]struct {
		set  func(s *scene)
		want summary
	}{
		"all is well":                  {func(*scene) {}, summary{State: "Compliant", Compliant: "True AllChecksHold", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"drift":                        {func(s *scene) { s.leave(flag, ireland, "a") }, summary{State: "Drifted", Compliant: "False Drifted", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"drift before what is unknown": {func(s *scene) { s.leave(flag, ireland, "a"); s.fails[policy+" "+global] = refused }, summary{State: "Drifted", Compliant: "False Drifted", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"an unknown":                   {func(s *scene) { s.fails[policy+" "+global] = refused }, summary{State: "Unknown", Compliant: "Unknown ChecksUnknown", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"an unknown before the pending": {func(s *scene) {
			s.fails[policy+" "+global] = refused
			s.skips = func(id checkID) bool { return id.Region == ireland }
		}, summary{State: "Unknown", Compliant: "Unknown ChecksUnknown", Ready: "True Succeeded", Reachable: "True Succeeded", Reconciling: true}},
		"pending":                               {func(s *scene) { s.skips = func(id checkID) bool { return id.Region == ireland } }, summary{State: "Pending", Compliant: "Unknown Pending", Ready: "True Succeeded", Reachable: "True Succeeded", Reconciling: true}},
		"no baseline":                           {func(s *scene) { s.baselines = nil }, summary{State: "Unknown", Compliant: "Unknown NoChecks", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"no region left":                        {func(s *scene) { s.spec().RDSStorage = nil; s.org.Regions = []v1alpha1.Region{"ap-east-1"} }, summary{State: "Unknown", Compliant: "Unknown ChecksUnknown", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"no region left, and other checks hold": {func(s *scene) { s.org.Regions = []v1alpha1.Region{"ap-east-1"} }, summary{State: "Unknown", Compliant: "Unknown ChecksUnknown", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"denied regions":                        {func(s *scene) { s.denied[ireland] = true }, summary{State: "Compliant", Compliant: "True CompliantExceptDeniedRegions", Ready: "True Succeeded", Reachable: "True Succeeded"}},
		"all regions denied":                    {func(s *scene) { s.spec().RDSStorage = nil; s.denied[ireland], s.denied[frankfurt] = true, true }, summary{State: "Unknown", Compliant: "Unknown NoChecks", Ready: "True Succeeded", Reachable: "True Succeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			tc.set(s)
			s.pass()
			same(t, "after a pass", tc.want, of(&s.account.Status, 1))
			s.account.Generation = 2
			w := s.world()
			unreachable := unreachableStatus(w, makePlan(w), refused)
			same(t, "unreachable", summary{State: "Unreachable", Compliant: "Unknown Unreachable", Ready: "False Unreachable", Reachable: "False Unreachable"},
				of(&unreachable, 2))
			s.account.Annotations[v1alpha1.AnnotationState] = stateLeft
			left := absentStatus(s.account, s.now)
			same(t, "left", summary{State: "Left", Compliant: "Unknown LeftOrganization", Ready: "False LeftOrganization", Stalled: true}, of(&left, 2))
			s.account.Annotations[v1alpha1.AnnotationState] = "PENDING_CLOSURE"
			closing := absentStatus(s.account, s.now)
			same(t, "closing", summary{State: "Suspended", Compliant: "Unknown SuspendedByAWS", Ready: "False SuspendedByAWS", Stalled: true}, of(&closing, 2))
			alone := withoutOrganization(s.account, s.now)
			same(t, "no organization", summary{State: "Unknown", Compliant: "Unknown NoOrganization", Ready: "False NoOrganization", Stalled: true}, of(&alone, 2))
		})
	}
}

func TestTallyOf(t *testing.T) {
	e := &v1alpha1.AccountControl{
		Drifted: map[string]int32{ireland: 2}, Unknown: map[string]int32{everyRegion: 40}, NotApplicable: []string{frankfurt},
	}
	same(t, "Ireland", engine.Tally{Drifted: 2, Unknown: 1}, tallyOf(e, ireland))
	same(t, "Frankfurt", engine.Tally{Unknown: 1, NotApplicable: 1}, tallyOf(e, frankfurt))
	same(t, "cut", true, isCut(e))
	same(t, "not cut", false, isCut(&v1alpha1.AccountControl{Drifted: map[string]int32{ireland: 2}}))
}

func TestARowDoesNotClaimRegionsThatWereEnabledSinceItWasWritten(t *testing.T) {
	for name, tc := range map[string]struct{ stored, enabled, want []string }{
		"everywhere":             {[]string{everyRegion}, []string{frankfurt, ireland}, []string{frankfurt, ireland}},
		"everywhere, and global": {[]string{everyRegion, global}, []string{frankfurt, ireland}, []string{frankfurt, ireland, global}},
		"named":                  {[]string{ireland, global}, []string{frankfurt, ireland}, []string{ireland, global}},
	} {
		same(t, name, tc.want, spelt(tc.stored, tc.enabled, append(tc.enabled, virginia)))
	}
}

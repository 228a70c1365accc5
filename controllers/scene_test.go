package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

const (
	member     = "111122223333"
	otherOne   = "444455556666"
	admin      = "222233334444"
	management = "123456789012"

	ireland   = "eu-west-1"
	frankfurt = "eu-central-1"
	virginia  = "us-east-1"
	global    = v1alpha1.GlobalRegion

	// The controls of the test's kind, one per scope and one that looks at resources.
	flag    = "ebs-flag"     // section ebsDefault, of a region, Safe
	volumes = "ebs-volumes"  // section ebsVolumes, of a region, per resource
	policy  = "ebs-policy"   // section rdsStorage, of the account
	trail   = "ebs-trail"    // section kmsRotation, of the organization
	newer   = "ebs-newcomer" // bound to ebsDefault, too, in a newer version
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var on = v1alpha1.ControlSpec{State: v1alpha1.Enabled}

// scene is one account with its baselines, an AWS that answers as told, and the passes over them: planning, engine, memory
// and status are the real ones, Kubernetes and AWS are not there.
type scene struct {
	*testing.T
	now         time.Time
	account     *v1alpha1.AWSAccount
	org         *v1alpha1.AWSOrganizationSpec
	baselines   []*v1alpha1.EncryptionBaseline
	exceptions  []*v1alpha1.BaselineException
	enabled     []string
	regionsErr  error
	allowWrites bool
	// version 2 of Plumbline has one more control.
	version int
	// found is what departs, by control and region: resource -> whether a change mends it.
	found map[string]map[string]bool
	// fails are the errors of checks, by control and region.
	fails map[string]error
	// waits are the checks, by control and region, that wait for something while it says so.
	waits map[string]func() bool
	// denied are the regions that a service control policy refuses.
	denied map[string]bool
	// skips says which checks the pass has no time for. Nil: none.
	skips func(checkID) bool
	// index is what checks of regions rest on. Nil: on live reads alone.
	index func() control.Index
	// refuseWrite keeps the status from being written.
	refuseWrite bool

	memories memories
	marks    *marks
	// flow hears what a sweep finds that no event announced.
	flow *Flow
	// person asks for the next passes.
	person bool
	// endedMarks counts the events that were looked into.
	endedMarks int
	engine     *engine.Engine
	changed    []string
}

// passed is what a pass did.
type passed struct {
	Looked  []string      // "control region"
	Changed []string      // "control region resource"
	Next    time.Duration // until the next; 0: never
	Wrote   bool
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{
		T: t, now: noon, version: 1, enabled: []string{frankfurt, ireland},
		account: &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{
			Name: member, UID: "uid-1", Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-48 * time.Hour)), Labels: map[string]string{}, Annotations: map[string]string{},
		}},
		org:   &v1alpha1.AWSOrganizationSpec{ManagementAccount: management},
		found: map[string]map[string]bool{}, fails: map[string]error{}, denied: map[string]bool{},
	}
	s.marks, s.flow = newMarks(), NewFlow(EventGrace, func() time.Time { return s.now })
	s.engine = engine.New(engine.Limits{VerifyFor: 1}, quiet{}, func() time.Time { return s.now })
	s.baselines = []*v1alpha1.EncryptionBaseline{s.baseline("organization", func(b *v1alpha1.EncryptionBaselineSpec) {
		b.EBSDefault, b.EBSVolumes, b.RDSStorage = &v1alpha1.EBSDefault{ControlSpec: on}, &v1alpha1.EBSVolumes{ControlSpec: on}, &v1alpha1.RDSStorage{ControlSpec: on}
	})}
	return s
}

func (s *scene) baseline(name string, change func(*v1alpha1.EncryptionBaselineSpec)) *v1alpha1.EncryptionBaseline {
	b := &v1alpha1.EncryptionBaseline{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1, Annotations: map[string]string{}}}
	change(&b.Spec)
	return b
}

// quiet hears nothing.
type quiet struct{}

func (quiet) Changing(context.Context, engine.Change)       {}
func (quiet) Changed(context.Context, engine.Change, error) {}
func (quiet) Observed(string, string, time.Duration)        {}

type fakeSection struct{ v1alpha1.ControlSpec }

// control is one of the test's controls.
func (s *scene) control(id string, scope control.Scope, section *v1alpha1.ControlSpec, perResource bool) control.Bound {
	c := control.Control[fakeSection]{
		Meta: control.Meta{
			ID: id, Protects: true, Scope: scope, PerResource: perResource, Risk: control.Safe, Severity: v1alpha1.SeverityHigh,
			Title: "t", Doc: "d", Reads: []string{"ec2:DescribeVolumes"}, Writes: []string{"ec2:EnableEbsEncryptionByDefault"},
			Events: []control.Event{{Source: "ec2", Name: id, Seen: control.SeenInRegion}, {Source: "ec2", Name: id, Seen: control.SeenInAdministrator}},
		},
		Observe: func(_ context.Context, t *control.Target, _ fakeSection) ([]control.Finding, error) {
			where := id + " " + s.regionOf(scope, t)
			if s.index != nil {
				t.RestsOn(s.index())
			}
			if err := s.fails[where]; err != nil {
				return nil, err
			}
			if s.denied[t.Region] && scope == control.Region {
				return nil, scpError
			}
			var found []control.Finding
			if w := s.waits[where]; w != nil && w() {
				found = append(found, control.Finding{Outcome: control.Waiting, Reason: v1alpha1.RowWaiting, Message: "no trail yet"})
			}
			for _, resource := range slices.Sorted(maps.Keys(s.found[where])) {
				found = append(found, control.Finding{Drift: control.Drift{
					Resource: resource, Fields: []control.Field{{Path: "encrypted", Want: "true", Got: "false"}},
					Before: control.JSON(false), After: control.JSON(true),
				}})
			}
			return found, nil
		},
		Remediate: func(_ context.Context, t *control.Target, d control.Drift) error {
			where := id + " " + s.regionOf(scope, t)
			s.changed = append(s.changed, where+" "+d.Resource)
			if s.found[where][d.Resource] {
				delete(s.found[where], d.Resource)
			}
			return nil
		},
	}
	if section == nil {
		return c.With(nil)
	}
	return c.With(&fakeSection{*section})
}

var scpError = &control.CallError{
	Service: "EC2", Operation: "DescribeVolumes", Action: "ec2:DescribeVolumes", Err: apiError{"AccessDenied", "explicit deny in a service control policy"},
}

func (s *scene) regionOf(scope control.Scope, t *control.Target) string {
	if scope == control.Region {
		return t.Region
	}
	return global
}

func (s *scene) kind() control.Kind {
	k := control.KindOf[v1alpha1.EncryptionBaseline, v1alpha1.EncryptionBaselineList]("EncryptionBaseline",
		func(b *v1alpha1.EncryptionBaseline) any { return b.Spec }, s.controls)
	return k
}

func (s *scene) controls(b *v1alpha1.EncryptionBaseline) []control.Bound {
	var f, v, p, t *v1alpha1.ControlSpec
	if b.Spec.EBSDefault != nil {
		f = &b.Spec.EBSDefault.ControlSpec
	}
	if b.Spec.EBSVolumes != nil {
		v = &b.Spec.EBSVolumes.ControlSpec
	}
	if b.Spec.RDSStorage != nil {
		p = &b.Spec.RDSStorage.ControlSpec
	}
	if b.Spec.KMSRotation != nil {
		t = &b.Spec.KMSRotation.ControlSpec
	}
	all := []control.Bound{
		s.control(flag, control.Region, f, false), s.control(volumes, control.Region, v, true),
		s.control(policy, control.Account, p, false), s.control(trail, control.Organization, t, false),
	}
	if s.version > 1 {
		all = append(all, s.control(newer, control.Region, f, false))
	}
	return all
}

func (s *scene) Config(region string, _ []string) aws.Config { return aws.Config{Region: region} }
func (s *scene) Admin(string) (control.Connector, string, error) {
	return nil, "", errors.New("no administrator")
}
func (s *scene) Writer(cloud.Change) engine.Writer            { return writer{s} }
func (s *scene) Denied(_ context.Context, region string) bool { return s.denied[region] }

type writer struct{ *scene }

func (writer) Reach(context.Context) error { return nil }

// world is the world as the reconciler gathers it.
func (s *scene) world() world {
	w := world{
		account: s.account.DeepCopy(), organization: s.org, exceptions: s.exceptions, enabled: s.enabled, regionsErr: s.regionsErr,
		memory: s.memories.of(s.account.Name), allowWrites: s.allowWrites, now: s.now,
	}
	for _, b := range s.baselines {
		w.baselines = append(w.baselines, declare(s.kind(), b))
	}
	w.open, w.recent = s.marks.of(s.account.Name, s.now)
	w.person = s.person
	w.memory.faceStatus(w.account, w.now)
	if w.askedAnew() {
		clear(w.memory.denied)
	}
	w.memory.entered(w.account, w.now)
	return w
}

// pass is one pass.
func (s *scene) pass() passed {
	s.Helper()
	w := s.world()
	p := makePlan(w)
	s.changed = nil
	var tasks []*engine.Task
	var skipped []engine.Result
	due, _ := p.due(w)
	for _, t := range due {
		if s.skips != nil && s.skips(t.ID()) {
			skipped = append(skipped, engine.Result{Task: t, Skipped: true})
		} else {
			tasks = append(tasks, t)
		}
	}
	results := s.engine.Run(context.Background(), engine.Pass{
		Account: member, Partition: "aws", Reader: s, Planned: p.all(), Tasks: tasks,
		Facts: control.Facts{ManagementAccount: management},
	})
	w.found = w.unannounced(p, results)
	remember(w, &p, append(results, skipped...))
	w.handled, w.refresh = p.handled(w), refreshEvery(p.rows)
	for _, c := range w.found {
		s.flow.find(s.account.Name, c.id.Control, c.was)
	}
	out := passed{Changed: s.changed, Next: until(w.next(p), w.now)}
	for _, t := range tasks {
		out.Looked = append(out.Looked, t.Control.ID+" "+t.Region)
	}
	out.Wrote = s.write(w, w.status(p, append(results, skipped...)))
	return out
}

// write writes a status as the reconciler does, through JSON as the API server does.
func (s *scene) write(w world, status v1alpha1.AWSAccountStatus) bool {
	s.Helper()
	if s.refuseWrite {
		return false
	}
	wrote := worthWriting(&s.account.Status, &status, max(w.refresh, observedEvery))
	if wrote {
		raw, err := json.Marshal(status)
		if err != nil {
			s.Fatal(err)
		}
		s.account.Status = v1alpha1.AWSAccountStatus{}
		if err := json.Unmarshal(raw, &s.account.Status); err != nil {
			s.Fatal(err)
		}
	}
	w.memory.written(basisOf(s.account.UID, &s.account.Status))
	s.memories.keep(s.account.Name, w.memory, "")
	s.marks.done(s.account.Name, w.handled)
	return wrote
}

func until(next, now time.Time) time.Duration {
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(now), soonest)
}

// leave makes resources depart that a change mends.
func (s *scene) leave(controlID, region string, resources ...string) {
	where := controlID + " " + region
	if s.found[where] == nil {
		s.found[where] = map[string]bool{}
	}
	for _, r := range resources {
		s.found[where][r] = true
	}
}

// restart forgets what only the process knew.
func (s *scene) restart() { s.memories = memories{} }

// later lets time pass.
func (s *scene) later(d time.Duration) { s.now = s.now.Add(d) }

func (s *scene) spec() *v1alpha1.EncryptionBaselineSpec { return &s.baselines[0].Spec }

// enforce makes the first baseline put things right.
func (s *scene) enforce() {
	s.allowWrites = true
	s.spec().Mode, s.spec().Accounts = v1alpha1.ModeEnforce, &v1alpha1.AccountSelector{All: true}
}

// is compares what the account's status amounts to with a sentence: "Drifted 3/4 drifted=1".
func (s *scene) is(want string) {
	s.Helper()
	st := s.account.Status
	got := string(st.State) + " " + st.Summary
	for _, n := range []struct {
		name string
		n    int32
	}{{"drifted", st.Checks.Drifted}, {"excepted", st.Checks.Excepted}, {"unknown", st.Checks.Unknown}, {"overridden", st.Checks.Overridden}} {
		if n.n > 0 {
			got += fmt.Sprintf(" %s=%d", n.name, n.n)
		}
	}
	if got != want {
		s.Errorf("the account is %q, want %q", got, want)
	}
	if total := st.Checks.Compliant + st.Checks.Drifted + st.Checks.Excepted + st.Checks.Unknown; total != st.Checks.Total {
		s.Errorf("%d checks in all are not the total %d", total, st.Checks.Total)
	}
}

func (s *scene) row() v1alpha1.AccountBaseline {
	s.Helper()
	if len(s.account.Status.Baselines) == 0 {
		s.Fatal("there is no row")
	}
	return s.account.Status.Baselines[0]
}

// same compares whole values.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// everything are the checks of the first baseline, in list order.
func everything() []string {
	return []string{flag + " " + frankfurt, flag + " " + ireland, volumes + " " + frankfurt, volumes + " " + ireland, policy + " " + global}
}

// without leaves the checks of a control out.
func without(checks []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(checks), func(c string) bool { return strings.HasPrefix(c, prefix) })
}

func only(checks []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(checks), func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

// apiError is an AWS error.
type apiError struct{ code, message string }

func (e apiError) Error() string                 { return e.code + ": " + e.message }
func (e apiError) ErrorCode() string             { return e.code }
func (e apiError) ErrorMessage() string          { return e.message }
func (e apiError) ErrorFault() smithy.ErrorFault { return smithy.FaultClient }

// event marks the account: somebody called the control's event in a region.
func (s *scene) event(controlID, region string, change ...func(*cloud.Event)) {
	e := cloud.Event{
		ID: fmt.Sprint(s.now.UnixNano()), Source: "ec2", Name: controlID, Account: member, Region: region, Time: s.now, Actor: "alice",
	}
	for _, c := range change {
		c(&e)
	}
	s.marks.add(s.account.Name, &mark{Event: e, received: s.now, done: func() { s.endedMarks++ }})
}

package guardduty

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func planFinding(weakens bool, fields ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: detectorARN, Risk: control.Disruptive, Weakens: weakens, Fields: fields}}
}

func field(path, want, got string) control.Field {
	return control.Field{Path: path, Want: want, Got: got}
}

var (
	s3On = v1alpha1.GuardDutyFeatures{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}, S3DataEvents: v1alpha1.Enabled,
	}
	s3OnFinding = planFinding(false, field("s3DataEvents", "Enabled", "Disabled"))
	// mixed turns one plan on and another off.
	mixed = v1alpha1.GuardDutyFeatures{
		ControlSpec:  v1alpha1.ControlSpec{State: v1alpha1.Enabled},
		S3DataEvents: v1alpha1.Enabled, LambdaNetworkLogs: v1alpha1.Disabled,
	}
	mixedFindings = []control.Finding{s3OnFinding, planFinding(true, field("lambdaNetworkLogs", "Disabled", "Enabled"))}
	oneAgent      = v1alpha1.GuardDutyFeatures{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled},
		RuntimeMonitoring: &v1alpha1.RuntimeMonitoring{
			State: v1alpha1.Enabled, EKSAddonManagement: v1alpha1.Enabled, EC2AgentManagement: v1alpha1.Disabled,
		},
	}
	runtimeOff = v1alpha1.GuardDutyFeatures{
		ControlSpec:       v1alpha1.ControlSpec{State: v1alpha1.Enabled},
		RuntimeMonitoring: &v1alpha1.RuntimeMonitoring{State: v1alpha1.Disabled},
	}
	everyRuntime = []string{
		runtimeMonitoring, runtimeMonitoring + "/EKS_ADDON_MANAGEMENT", runtimeMonitoring + "/ECS_FARGATE_AGENT_MANAGEMENT",
		runtimeMonitoring + "/EC2_AGENT_MANAGEMENT",
	}
	// Where the administrator cannot be asked the account itself is.
	memberReads = []string{"guardduty:ListMembers", "guardduty:GetMemberDetectors"}
)

func TestFeatures(t *testing.T) {
	controltest.Run(t, Features, append(memberFeatureCases(), []controltest.Case[v1alpha1.GuardDutyFeatures]{
		{
			Name: "a plan that is on as declared is compliant, whatever the others are", Want: s3On,
			AWS: stage(func(w *world) { w.detectors[here] = newDetector(true, "S3_DATA_EVENTS", "RDS_LOGIN_EVENTS") }),
		},
		{
			Name: "a plan that is off drifts", Want: s3On,
			AWS: stage(func(w *world) { w.detectors[here] = newDetector(true) }), Findings: []control.Finding{s3OnFinding},
		},
		{
			Name: "one plan on and another off are two changes, of which one weakens", Want: mixed,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(true, "LAMBDA_NETWORK_LOGS") }),
			Findings: mixedFindings,
		},
		{
			Name: "Runtime Monitoring and its agents are judged apart; the older EKS Runtime Monitoring is left alone", Want: oneAgent,
			AWS: stage(func(w *world) {
				w.detectors[here] = newDetector(true, "EKS_RUNTIME_MONITORING", runtimeMonitoring, runtimeMonitoring+"/EC2_AGENT_MANAGEMENT")
			}),
			Findings: []control.Finding{
				planFinding(false, field("runtimeMonitoring.eksAddonManagement", "Enabled", "Disabled")),
				planFinding(true, field("runtimeMonitoring.ec2AgentManagement", "Disabled", "Enabled")),
			},
		},
		{
			Name: "Runtime Monitoring turned off takes its agents along, and undoing brings them back", Want: runtimeOff,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(true, everyRuntime...) }),
			Findings: []control.Finding{planFinding(true, field("runtimeMonitoring", "Disabled", "Enabled"))},
		},
		{
			Name: "a plan that the region does not offer is not applicable beside one that is judged", Want: mixed,
			AWS: stage(func(w *world) {
				w.detectors[here], w.missing = newDetector(true), []string{"LAMBDA_NETWORK_LOGS"}
			}),
			Findings: []control.Finding{s3OnFinding, outcome(control.NotApplicable, ReasonPlanNotOffered)},
		},
		{
			Name: "where no declared plan is offered the region is not applicable", Want: s3On,
			AWS: stage(func(w *world) { w.detectors[here], w.missing = newDetector(true), []string{"S3_DATA_EVENTS"} }),
			Findings: []control.Finding{{
				Outcome: control.NotApplicable, Reason: ReasonPlanNotOffered, Message: "GuardDuty does not offer here: s3DataEvents",
			}},
		},
		{
			Name: "a state that is not known is not judged", Want: mixed,
			AWS: stage(func(w *world) {
				w.detectors[here] = newDetector(true)
				w.detectors[here].features["LAMBDA_NETWORK_LOGS"] = ""
			}),
			Findings: []control.Finding{s3OnFinding, outcome(control.Unknown, control.ReasonUnexpectedData)},
		},
		{
			Name: "without a detector plans wait", Want: s3On,
			AWS: stage(func(*world) {}), Findings: []control.Finding{outcome(control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "with a suspended detector plans wait", Want: s3On,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(false) }),
			Findings: []control.Finding{outcome(control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "a detector that lists no features is an error", Want: s3On, Err: "unexpected answer",
			AWS: func(c *cloudtest.Cloud) {
				stage(func(w *world) { w.detectors[here] = newDetector(true) })(c)
				cloudtest.Handle(c, func(cloudtest.Call, *guardduty.GetDetectorInput) (*guardduty.GetDetectorOutput, error) {
					return &guardduty.GetDetectorOutput{Status: types.DetectorStatusEnabled}, nil
				})
			},
		},
	}...))
}

func memberFeatureCases() []controltest.Case[v1alpha1.GuardDutyFeatures] {
	forAll := func(features ...string) func(w *world) {
		return func(w *world) {
			asMember(w, true, "LAMBDA_NETWORK_LOGS")
			w.levers[controltest.Region] = newLever(types.AutoEnableMembersAll, features...)
		}
	}
	return []controltest.Case[v1alpha1.GuardDutyFeatures]{
		{
			Name: "a member's plan that is on is compliant", Want: s3On, Target: withAdmin, Tolerates: memberReads,
			AWS: governed(func(w *world) { asMember(w, true, "S3_DATA_EVENTS") }),
		},
		{
			Name: "a member's plans are set by the administrator", Want: mixed, Target: withAdmin,
			AWS: governed(func(w *world) { asMember(w, true, "LAMBDA_NETWORK_LOGS") }), Findings: mixedFindings,
		},
		{
			Name: "a member's agents too", Want: oneAgent, Target: withAdmin,
			AWS: governed(func(w *world) { asMember(w, true) }),
			Findings: []control.Finding{planFinding(false, field("runtimeMonitoring", "Enabled", "Disabled"),
				field("runtimeMonitoring.eksAddonManagement", "Enabled", "Disabled"))},
		},
		{
			Name: "a suspended member's plans wait", Want: s3On, Target: withAdmin, Tolerates: []string{"guardduty:ListMembers"},
			AWS: governed(func(w *world) { asMember(w, false) }), Findings: []control.Finding{outcome(control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "a member that AWS does not process is unknown", Want: s3On, Target: withAdmin, Tolerates: memberReads,
			AWS: governed(func(w *world) {
				asMember(w, true, "S3_DATA_EVENTS")
				w.unprocessed["GetMemberDetectors"] = notAssociated
			}),
			Findings: []control.Finding{outcome(control.Unknown, v1alpha1.RowReadFailed)},
		},
		{
			Name: "a member that AWS leaves out without a word is unknown", Want: s3On, Target: withAdmin, Tolerates: memberReads,
			AWS: governed(func(w *world) {
				asMember(w, true, "S3_DATA_EVENTS")
				w.leftOut = []string{controltest.Account}
			}),
			Findings: []control.Finding{outcome(control.Unknown, v1alpha1.RowReadFailed)},
		},
		{
			Name: "a write left unprocessed is an error, not a success", Want: s3On, Target: withAdmin, Refused: true,
			AWS: governed(func(w *world) {
				asMember(w, true)
				w.unprocessed["UpdateMemberDetectors"] = notAssociated
			}),
			Findings: []control.Finding{s3OnFinding},
		},
		{
			Name: "where members' plans cannot be read the account is asked itself", Want: s3On, Target: withAdmin,
			AWS: func(c *cloudtest.Cloud) {
				governed(func(w *world) {
					asMember(w, true)
					w.refused["GetMemberDetectors"] = "of an internal error."
				})(c)
			},
			Refused:  true, // and the change, which reads them again, fails
			Findings: []control.Finding{s3OnFinding},
		},
		{
			Name: "an account outside sets its plans itself", Want: mixed, Target: withAdmin,
			AWS:      governed(func(w *world) { w.detectors[here] = newDetector(true, "LAMBDA_NETWORK_LOGS") }),
			Findings: mixedFindings,
		},
		{
			Name: "a plan wanted off that the organization turns on for ALL is reported beside the others", Want: mixed, Target: withAdmin,
			AWS: governed(forAll("LAMBDA_NETWORK_LOGS")),
			Findings: []control.Finding{s3OnFinding,
				reported(planFinding(true, field("lambdaNetworkLogs", "Disabled", "Enabled")), v1alpha1.RowContradictsOrganization)},
		},
		{
			Name: "where the organization's configuration cannot be read no plan is turned off", Want: mixed, Target: withAdmin,
			AWS: governed(func(w *world) {
				asMember(w, true, "LAMBDA_NETWORK_LOGS")
				w.refused["DescribeOrganizationConfiguration"] = "of an internal error."
			}),
			Findings: []control.Finding{s3OnFinding, outcome(control.Unknown, v1alpha1.RowReadFailed)},
		},
		{
			Name: "a plan that the organization is about to turn on in an account just joined is waited for", Want: mixed, Target: justJoinedIt,
			AWS: governed(forAll("S3_DATA_EVENTS")),
			Findings: []control.Finding{outcome(control.Waiting, v1alpha1.RowWaiting),
				planFinding(true, field("lambdaNetworkLogs", "Disabled", "Enabled"))},
		},
		{
			Name: "verifying asks for the one member", Want: s3On, Target: func(t *control.Target) { withAdmin(t); t.Verifying = true },
			Tolerates: []string{"guardduty:GetMembers", "guardduty:GetMemberDetectors"},
			AWS:       governed(func(w *world) { asMember(w, true, "S3_DATA_EVENTS") }),
		},
		{
			Name: "an account of which an event tells is asked for alone", Want: s3On, Target: toldOf,
			AWS: governed(func(w *world) { asMember(w, true) }), Findings: []control.Finding{s3OnFinding},
		},
	}
}

func TestOnlyDriftingPlansAreSent(t *testing.T) {
	for name, tc := range map[string]struct {
		want v1alpha1.GuardDutyFeatures
		on   []string
		sent []string
	}{
		"one plan":                           {s3On, []string{"RDS_LOGIN_EVENTS"}, []string{"S3_DATA_EVENTS"}},
		"an agent brings all of its feature": {oneAgent, []string{runtimeMonitoring, runtimeMonitoring + "/ECS_FARGATE_AGENT_MANAGEMENT"}, everyRuntime},
		"a feature that goes off none of it": {runtimeOff, everyRuntime, []string{runtimeMonitoring}},
	} {
		for _, how := range []string{"alone", "member"} {
			t.Run(name+", "+how, func(t *testing.T) {
				w, target := newWorld(), func(*control.Target) {}
				w.detectors[here] = newDetector(true, tc.on...)
				if how == "member" {
					target = withAdmin
					organized(func(w *world) { asMember(w, true, tc.on...) })(w)
				}
				if err := apply(t, Features, tc.want, w, target); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.sent, w.sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
				if fargate := "RUNTIME_MONITORING/ECS_FARGATE_AGENT_MANAGEMENT"; name == "an agent brings all of its feature" &&
					w.detectors[here].features[fargate] != "ENABLED" {
					t.Errorf("%s was changed", fargate)
				}
			})
		}
	}
}

// Many members are read fifty at a time, once for all of them.
func TestMembersAreReadInBulk(t *testing.T) {
	const n = 120
	c := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	governed(func(w *world) {
		for i := range n {
			at := fmt.Sprintf("%012d/%s", i, controltest.Region)
			w.members[at], w.detectors[at] = "Enabled", newDetector(true, "S3_DATA_EVENTS")
		}
	})(c)
	shared := control.NewSharedMemo(func() time.Time { return controltest.Now })
	for i := range n {
		on := control.Target{
			Account: fmt.Sprintf("%012d", i), Partition: "aws", Region: controltest.Region, Now: controltest.Now,
			Facts: control.Facts{Administrators: map[string]string{service: controltest.Admin}},
		}
		target := control.NewTarget(on, c.Connector(on.Account), Features.Reads, control.NewMemo(context.Background()), shared)
		if found, err := Features.With(&s3On).Observe(context.Background(), target); err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
	}
	calls := map[string]int{}
	for _, call := range c.Calls() {
		calls[call.Operation]++
	}
	if diff := cmp.Diff(map[string]int{"ListDetectors": 2, "ListMembers": 3, "GetMemberDetectors": 3}, calls); diff != "" {
		t.Errorf("calls for %d accounts (-want +got):\n%s", n, diff)
	}
}

// However many members there are, an event about one costs three calls, none of which is a list of members.
func TestAnEventAboutAMemberAsksForThatMemberAlone(t *testing.T) {
	c := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	governed(func(w *world) {
		for i := range 5000 {
			w.members[fmt.Sprintf("%012d/%s", i, controltest.Region)] = "Enabled"
		}
		asMember(w, true)
	})(c)
	on := control.Target{Account: controltest.Account, Partition: "aws", Region: controltest.Region, Now: controltest.Now}
	on.Facts.Administrators = map[string]string{}
	toldOf(&on)
	memo, shared := control.NewMemo(context.Background()), control.NewSharedMemo(func() time.Time { return controltest.Now })
	for _, b := range []control.Bound{Detector.With(&enabled), Features.With(&s3On)} {
		found, err := b.Observe(context.Background(), control.NewTarget(on, c.Connector(on.Account), b.Reads, memo, shared))
		if want := map[string]int{Detector.ID: 0, Features.ID: 1}[b.ID]; err != nil || len(found) != want {
			t.Errorf("%s: %v, %v", b.ID, found, err)
		}
	}
	var calls []string
	for _, call := range c.Calls() {
		calls = append(calls, call.Operation)
	}
	if diff := cmp.Diff([]string{"ListDetectors", "GetMembers", "GetMemberDetectors"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// What a thousand members cost their administrator, in requests, per refresh of what they share: a quarter of an hour at the
// default intervals. Per region 20 pages of ListMembers, 20 GetMemberDetectors and the detector's id for each of the two.
func TestAThousandMembersInSeventeenRegionsShareOneRefresh(t *testing.T) {
	const n, regions, perRegion = 1000, 17, 20 + 20 + 2
	c := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	region := func(r int) string { return fmt.Sprintf("eu-test-%d", r) }
	governed(func(w *world) {
		for r := range regions {
			w.admins[region(r)] = controltest.Admin
			w.detectors[controltest.Admin+"/"+region(r)] = newDetector(true)
			for i := range n {
				at := fmt.Sprintf("%012d/%s", i, region(r))
				w.members[at], w.detectors[at] = "Enabled", newDetector(true, "S3_DATA_EVENTS")
			}
		}
	})(c)
	clock := controltest.Now
	shared := control.NewSharedMemo(func() time.Time { return clock })
	for _, refresh := range []struct {
		after time.Duration
		want  int
	}{{0, regions * perRegion}, {14 * time.Minute, regions * perRegion}, {16 * time.Minute, 2 * regions * perRegion}} {
		clock = controltest.Now.Add(refresh.after)
		for i := range n {
			memo := control.NewMemo(context.Background())
			on := control.Target{
				Account: fmt.Sprintf("%012d", i), Partition: "aws", Now: clock,
				Facts: control.Facts{Administrators: map[string]string{service: controltest.Admin}},
			}
			for r := range regions {
				on.Region = region(r)
				for _, b := range []control.Bound{Detector.With(&enabled), Features.With(&s3On)} {
					found, err := b.Observe(context.Background(), control.NewTarget(on, c.Connector(on.Account), b.Reads, memo, shared))
					if err != nil || len(found) > 0 {
						t.Fatal(found, err)
					}
				}
			}
		}
		if got := len(c.Calls()); got != refresh.want {
			t.Errorf("after %v: %d requests for %d accounts, want %d", refresh.after, got, n, refresh.want)
		}
	}
}

// Both controls of one pass ask an account once.
func TestAnAccountIsAskedOncePerPass(t *testing.T) {
	c := &cloudtest.Cloud{}
	c.Admins = map[string]string{}
	stage(func(w *world) { w.detectors[here] = newDetector(true, "S3_DATA_EVENTS") })(c)
	memo := control.NewMemo(context.Background())
	on := control.Target{Account: controltest.Account, Partition: "aws", Region: controltest.Region, Now: controltest.Now}
	for _, b := range []control.Bound{Detector.With(&enabled), Features.With(&s3On)} {
		if found, err := b.Observe(context.Background(), control.NewTarget(on, c.Connector(on.Account), b.Reads, memo, nil)); err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
	}
	if calls := c.Calls(); len(calls) != 2 {
		t.Errorf("%d calls, want ListDetectors and GetDetector: %v", len(calls), calls)
	}
}

// What AWS lists and this program does not know is no plan; what it knows is a constant of the SDK.
func TestPlansAreTheSDKs(t *testing.T) {
	var ours []types.DetectorFeature
	for _, p := range plans {
		if p.agent == "" {
			ours = append(ours, types.DetectorFeature(p.feature))
		}
	}
	theirs := slices.DeleteFunc(types.DetectorFeature("").Values(), func(f types.DetectorFeature) bool {
		return f == types.DetectorFeatureEksRuntimeMonitoring
	})
	slices.Sort(theirs)
	slices.Sort(ours)
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("the SDK's optional features (-theirs +ours): a new one must be named when a detector is created\n%s", diff)
	}
	s := states{}
	s.hear("AI_ANALYST", "", "ENABLED")
	s.hear("EKS_RUNTIME_MONITORING", "EKS_ADDON_MANAGEMENT", "ENABLED")
	if s != (states{}) {
		t.Errorf("got %v", s)
	}
}

package guardduty

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	here        = controltest.Account + "/" + controltest.Region
	admins      = controltest.Admin + "/" + controltest.Region
	detectorARN = "arn:aws:guardduty:eu-central-1:111122223333:detector"
)

func newWorld() *world {
	return &world{
		detectors: map[string]*fakeDetector{}, admins: map[string]string{}, members: map[string]string{},
		levers: map[string]*fakeLever{}, unprocessed: map[string]string{}, refused: map[string]string{},
	}
}

// stage sets the stage for an organization without a delegated administrator.
func stage(build func(w *world)) func(*cloudtest.Cloud) {
	return func(c *cloudtest.Cloud) {
		w := newWorld()
		build(w)
		w.stage(c)
	}
}

// organized is a world with a delegated administrator in the default region, whose configuration is NONE.
func organized(build func(w *world)) func(*world) {
	return func(w *world) {
		w.detectors[admins] = newDetector(true)
		w.admins[controltest.Region] = controltest.Admin
		w.levers[controltest.Region] = newLever(types.AutoEnableMembersNone)
		build(w)
	}
}

// governed is stage for an organization with one.
func governed(build func(w *world)) func(*cloudtest.Cloud) { return stage(organized(build)) }

func withAdmin(t *control.Target) { t.Facts.Administrators[service] = controltest.Admin }

// toldOf is an account of which an event tells.
func toldOf(t *control.Target) {
	withAdmin(t)
	t.Since = controltest.Now
}

func justJoinedIt(t *control.Target) {
	withAdmin(t)
	t.Facts.JoinedAt = controltest.Now.Add(-23 * time.Hour)
}

// asMember makes the account a member, whose detector is on or suspended.
func asMember(w *world, on bool, featuresOn ...string) {
	w.detectors[here] = newDetector(on, featuresOn...)
	w.members[here] = map[bool]string{true: "Enabled", false: "Disabled"}[on]
}

func stateFinding(want, got string, risk control.Risk, more ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: detectorARN, Risk: risk, Weakens: want == "Disabled",
		Fields: append([]control.Field{{Path: "state", Want: want, Got: got}}, more...),
	}}
}

var offFinding = stateFinding("Enabled", "Disabled", control.Safe)

func frequencyFinding(risk control.Risk, reason string) control.Finding {
	return control.Finding{Reason: reason, Drift: control.Drift{
		Resource: detectorARN, Risk: risk,
		Fields: []control.Field{{Path: "findingPublishingFrequency", Want: "FIFTEEN_MINUTES", Got: "SIX_HOURS"}},
	}}
}

func reported(f control.Finding, reason string) control.Finding {
	f.Risk, f.Reason = control.ReportOnly, reason
	return f
}

func outcome(o control.Outcome, reason string) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: detectorARN}, Outcome: o, Reason: reason}
}

var (
	enabled = DetectorSettings{GuardDutyDetector: v1alpha1.GuardDutyDetector{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled},
	}}
	disabled = DetectorSettings{GuardDutyDetector: v1alpha1.GuardDutyDetector{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Disabled},
	}}
	frequent = DetectorSettings{GuardDutyDetector: v1alpha1.GuardDutyDetector{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}, FindingPublishingFrequency: v1alpha1.FifteenMinutes,
	}}
	// Where the administrator cannot be asked the account itself is.
	listMembers = []string{"guardduty:ListMembers"}
)

func TestDetector(t *testing.T) {
	garbled := func(c *cloudtest.Cloud) {
		stage(func(w *world) { w.detectors[here] = newDetector(true) })(c)
		cloudtest.Handle(c, func(cloudtest.Call, *guardduty.GetDetectorInput) (*guardduty.GetDetectorOutput, error) {
			return &guardduty.GetDetectorOutput{Status: "RESTING", Features: newWorld().listed(nil)}, nil
		})
	}
	several := func(c *cloudtest.Cloud) {
		cloudtest.Handle(c, func(cloudtest.Call, *guardduty.ListDetectorsInput) (*guardduty.ListDetectorsOutput, error) {
			return &guardduty.ListDetectorsOutput{DetectorIds: []string{"a", "b"}}, nil
		})
	}
	controltest.Run(t, Detector, append(membersCases(), []controltest.Case[DetectorSettings]{
		{
			Name: "a detector that is on is compliant", Want: enabled,
			AWS: stage(func(w *world) { w.detectors[here] = newDetector(true) }),
		},
		{
			Name: "no detector drifts; one is created, and undoing suspends it", Want: enabled,
			AWS:      stage(func(*world) {}),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "a suspended detector drifts and is resumed", Want: enabled,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(false) }),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "a region that does not offer every plan gets its detector all the same", Want: frequent,
			AWS:      stage(func(w *world) { w.missing = []string{"RDS_LOGIN_EVENTS", runtimeMonitoring} }),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "another frequency drifts", Want: frequent,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(true) }),
			Findings: []control.Finding{frequencyFinding(control.Safe, "")},
		},
		{
			Name: "a suspended detector of another frequency is one drift", Want: frequent,
			AWS: stage(func(w *world) { w.detectors[here] = newDetector(false) }),
			Findings: []control.Finding{stateFinding("Enabled", "Disabled", control.Safe,
				control.Field{Path: "findingPublishingFrequency", Want: "FIFTEEN_MINUTES", Got: "SIX_HOURS"})},
		},
		{
			Name: "a detector that is on drifts where it is wanted off; suspending it is Disruptive", Want: disabled,
			AWS:      stage(func(w *world) { w.detectors[here] = newDetector(true) }),
			Findings: []control.Finding{stateFinding("Disabled", "Enabled", control.Disruptive)},
		},
		{
			Name: "no detector is as off as can be", Want: disabled,
			AWS: stage(func(*world) {}),
		},
		{
			Name: "the administrator's own account is asked and changed by itself", Want: frequent,
			Target: func(t *control.Target) { t.Facts.Administrators[service] = t.Account },
			AWS:    stage(func(w *world) { w.admins[controltest.Region] = controltest.Account }), Findings: []control.Finding{offFinding},
		},
		{
			Name: "a change that an Organizations policy refuses is refused", Want: enabled, Refused: true,
			AWS: stage(func(w *world) {
				w.detectors[here] = newDetector(false)
				w.refused["UpdateDetector"] = "the account is managed by a GuardDuty policy of AWS Organizations."
			}),
			Findings: []control.Finding{offFinding},
		},
		{Name: "a status that is not known is an error", Want: enabled, AWS: garbled, Err: "unexpected answer"},
		{Name: "more than one detector is an error", Want: enabled, AWS: several, Err: "unexpected answer"},
	}...))
}

// membersCases are those of accounts that a delegated administrator governs, or should.
func membersCases() []controltest.Case[DetectorSettings] {
	suspended := governed(func(w *world) { asMember(w, false) })
	return []controltest.Case[DetectorSettings]{
		{
			Name: "a member that is on is compliant", Want: enabled, Target: withAdmin, Tolerates: listMembers,
			AWS: governed(func(w *world) { asMember(w, true) }),
		},
		{
			Name: "a member is found on a later page", Want: enabled, Target: withAdmin, Tolerates: listMembers,
			AWS: governed(func(w *world) {
				asMember(w, true)
				w.pageFor = 1
				for i := range 3 {
					w.members[fmt.Sprintf("00000000000%d/%s", i, controltest.Region)] = "Enabled"
				}
			}),
		},
		{
			Name: "a suspended member drifts and is resumed by the administrator", Want: enabled, Target: withAdmin,
			AWS: suspended, Findings: []control.Finding{offFinding},
		},
		{
			Name: "a member left unprocessed is an error, not a success", Want: enabled, Target: withAdmin, Refused: true,
			AWS: governed(func(w *world) {
				asMember(w, false)
				w.unprocessed["StartMonitoringMembers"] = "The request is rejected because of an internal error."
			}),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "an account that is no member is made one", Want: frequent, Target: withAdmin,
			AWS:      governed(func(w *world) { w.detectors[admins].frequency = types.FindingPublishingFrequencyFifteenMinutes }),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "a member that was disassociated and suspended is made one again", Want: enabled, Target: withAdmin,
			AWS:      governed(func(w *world) { w.detectors[here], w.members[here] = newDetector(false), "Removed" }),
			Findings: []control.Finding{offFinding},
		},
		{
			Name: "without its e-mail address an account cannot be made a member", Want: enabled,
			Target: func(t *control.Target) { withAdmin(t); t.Facts.Email = "" },
			AWS:    governed(func(*world) {}), Findings: []control.Finding{reported(offFinding, ReasonEmailUnknown)},
		},
		{
			Name: "the management account outside turns itself on", Want: enabled,
			Target: func(t *control.Target) { withAdmin(t); t.Facts.ManagementAccount = t.Account; t.Facts.Email = "" },
			AWS:    governed(func(*world) {}), Findings: []control.Finding{offFinding},
		},
		{
			Name: "an account outside that is on by itself is compliant", Want: enabled, Target: withAdmin, Tolerates: listMembers,
			AWS: governed(func(w *world) { w.detectors[here] = newDetector(true) }),
		},
		{
			Name: "an account outside is suspended by itself", Want: disabled, Target: withAdmin,
			AWS:      governed(func(w *world) { w.detectors[here] = newDetector(true) }),
			Findings: []control.Finding{stateFinding("Disabled", "Enabled", control.Disruptive)},
		},
		{
			Name: "a member is suspended by the administrator", Want: disabled, Target: withAdmin,
			AWS:      governed(func(w *world) { asMember(w, true) }),
			Findings: []control.Finding{stateFinding("Disabled", "Enabled", control.Disruptive)},
		},
		{
			Name: "Disabled against ALL is reported and not written", Want: disabled, Target: withAdmin,
			AWS: governed(func(w *world) {
				asMember(w, true)
				w.levers[controltest.Region].members = types.AutoEnableMembersAll
			}),
			Findings: []control.Finding{reported(stateFinding("Disabled", "Enabled", control.Disruptive), v1alpha1.RowContradictsOrganization)},
		},
		{
			Name: "where the organization's configuration cannot be read nothing is suspended", Want: disabled, Target: withAdmin,
			Tolerates: listMembers,
			AWS: governed(func(w *world) {
				asMember(w, true)
				w.refused["DescribeOrganizationConfiguration"] = "of an internal error."
			}),
			Findings: []control.Finding{outcome(control.Unknown, v1alpha1.RowReadFailed)},
		},
		{
			Name: "an account that has just joined is waited for where the organization turns it on", Want: enabled, Target: justJoinedIt,
			Tolerates: listMembers,
			AWS:       governed(func(w *world) { w.levers[controltest.Region].members = types.AutoEnableMembersNew }),
			Findings:  []control.Finding{outcome(control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "an account that has just joined drifts where the organization does nothing", Want: enabled, Target: justJoinedIt,
			AWS: governed(func(*world) {}), Findings: []control.Finding{offFinding},
		},
		{
			Name: "an account that joined a day ago drifts although the organization should have turned it on", Want: enabled,
			Target: func(t *control.Target) { withAdmin(t); t.Facts.JoinedAt = controltest.Now.Add(-24 * time.Hour) },
			AWS:    governed(func(w *world) { w.levers[controltest.Region].members = types.AutoEnableMembersNew }), Findings: []control.Finding{offFinding},
		},
		{
			Name: "a member publishes as often as its administrator, which is not for the member to change", Want: frequent, Target: withAdmin,
			AWS:      governed(func(w *world) { asMember(w, true) }),
			Findings: []control.Finding{frequencyFinding(control.ReportOnly, ReasonFollowsAdministrator)},
		},
		{
			Name: "a member of an administrator with the declared frequency is compliant", Want: frequent, Target: withAdmin,
			Tolerates: listMembers,
			AWS: governed(func(w *world) {
				asMember(w, true)
				w.detectors[admins].frequency = types.FindingPublishingFrequencyFifteenMinutes
			}),
		},
		{
			Name: "where members cannot be listed the account is asked itself, and changed by the administrator", Want: enabled, Target: withAdmin,
			AWS: func(c *cloudtest.Cloud) { suspended(c); c.Deny("guardduty:ListMembers", nil) }, Findings: []control.Finding{offFinding},
		},
		{
			Name: "an administrator without a detector cannot be asked; the account can", Want: enabled, Target: withAdmin,
			AWS: stage(func(w *world) { w.detectors[here] = newDetector(true) }),
		},
		{
			Name: "verifying asks for the one member", Want: enabled, Target: func(t *control.Target) { withAdmin(t); t.Verifying = true },
			Tolerates: []string{"guardduty:GetMembers"}, AWS: governed(func(w *world) { asMember(w, true) }),
		},
		{
			Name: "an account of which an event tells is asked for alone", Want: enabled, Target: toldOf,
			AWS: suspended, Findings: []control.Finding{offFinding},
		},
		{
			Name: "so is one that is no member any more", Want: enabled, Target: toldOf,
			AWS: governed(func(w *world) {
				asMember(w, false)
				w.members[here] = "Removed"
			}), Findings: []control.Finding{offFinding},
		},
	}
}

// apply observes and remediates once, as the engine does.
func apply[S control.Settings](t *testing.T, c control.Control[S], want S, w *world, target func(*control.Target)) error {
	t.Helper()
	cloud := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	w.stage(cloud)
	on := control.Target{
		Account: controltest.Account, Partition: "aws", Region: controltest.Region, Now: controltest.Now,
		Facts: control.Facts{ManagementAccount: controltest.Management, Administrators: map[string]string{}, Email: "account@example.com"},
	}
	if target != nil {
		target(&on)
	}
	b := c.With(&want)
	found, err := b.Observe(context.Background(), control.NewTarget(on, cloud.Connector(on.Account), c.Reads, nil, nil))
	if err != nil || len(found) != 1 {
		t.Fatalf("Observe: %v, %v; want one finding", found, err)
	}
	return b.Remediate(context.Background(), control.NewTarget(on, cloud.Connector(on.Account), c.Actions(), nil, nil), found[0].Drift)
}

func TestADetectorIsCreatedWithTheDeclaredPlansOnly(t *testing.T) {
	want := enabled
	want.Plans = &v1alpha1.GuardDutyFeatures{
		S3DataEvents: v1alpha1.Enabled, EKSAuditLogs: v1alpha1.Disabled,
		RuntimeMonitoring: &v1alpha1.RuntimeMonitoring{State: v1alpha1.Enabled, EC2AgentManagement: v1alpha1.Enabled},
	}
	for name, missing := range map[string][]string{
		"where every plan is offered": nil, "where one is not": {"LAMBDA_NETWORK_LOGS"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.missing = missing
			if err := apply(t, Detector, want, w, nil); err != nil {
				t.Fatal(err)
			}
			d := w.detectors[here]
			ours := each("DISABLED", "ENABLED", []string{"S3_DATA_EVENTS", runtimeMonitoring, runtimeMonitoring + "/EC2_AGENT_MANAGEMENT"})
			if diff := cmp.Diff(ours, d.features); diff != "" || !d.enabled {
				t.Errorf("enabled %v, plans (-want +got):\n%s", d.enabled, diff)
			}
		})
	}
}

func TestARefusalByPolicyIsToldFromOthers(t *testing.T) {
	w := newWorld()
	organized(func(w *world) { asMember(w, false) })(w)
	w.unprocessed["StartMonitoringMembers"] = "The account is managed by an organization policy."
	err := apply(t, Detector, enabled, w, withAdmin)
	if reason, message := control.Explain(err); !errors.Is(err, control.ErrManagedByPolicy) || reason != control.ReasonManagedByOrganizationPolicy {
		t.Errorf("got %v (%s: %s)", err, reason, message)
	}
	w.unprocessed["StartMonitoringMembers"] = notAssociated
	if err := apply(t, Detector, enabled, w, withAdmin); err == nil || errors.Is(err, control.ErrManagedByPolicy) {
		t.Errorf("got %v, want another error", err)
	}
}

func TestAMembersChangeNamesTheMember(t *testing.T) {
	c := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	governed(func(w *world) { asMember(w, false) })(c)
	on := control.Target{
		Account: controltest.Account, Partition: "aws", Region: controltest.Region, Now: controltest.Now,
		Facts: control.Facts{Administrators: map[string]string{service: controltest.Admin}},
	}
	found, err := Detector.With(&enabled).Observe(context.Background(), control.NewTarget(on, c.Connector(on.Account), Detector.Reads, nil, nil))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	after, err := control.Decode[monitoring](found[0].After)
	if diff := cmp.Diff(monitoring{Member: controltest.Account, Enabled: true}, after); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A page that repeats its token would leave members out: the answer is not used.
func TestMembersThatDoNotEndAreNotUsed(t *testing.T) {
	c := &cloudtest.Cloud{Admins: map[string]string{service: controltest.Admin}}
	governed(func(w *world) { w.detectors[here] = newDetector(true) })(c)
	cloudtest.Handle(c, func(cloudtest.Call, *guardduty.ListMembersInput) (*guardduty.ListMembersOutput, error) {
		return &guardduty.ListMembersOutput{NextToken: aws.String("again")}, nil
	})
	on := control.Target{
		Account: controltest.Account, Partition: "aws", Region: controltest.Region, Now: controltest.Now,
		Facts: control.Facts{Administrators: map[string]string{service: controltest.Admin}},
	}
	s, err := standingOf(context.Background(), control.NewTarget(on, c.Connector(on.Account), Detector.Reads, nil, nil))
	if err != nil || s.relation != unread || !s.enabled {
		t.Errorf("got %+v, %v; want the account's own answer", s, err)
	}
}

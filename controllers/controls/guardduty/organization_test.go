package guardduty

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	frankfurt = "eu-central-1"
	ireland   = "eu-west-1"
)

func configuration(region string) string {
	return "arn:aws:guardduty:" + region + ":" + controltest.Admin + ":organization-configuration"
}

func delegationOf(region string) string {
	return "arn:aws:guardduty:" + region + ":" + controltest.Admin + ":delegated-administrator"
}

func leverFinding(region string, weakens bool, fields ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: configuration(region), Risk: control.Disruptive, Weakens: weakens, Fields: fields,
	}}
}

func at(resource string, o control.Outcome, reason string) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: resource}, Outcome: o, Reason: reason}
}

func notDelegated(region, got string) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: delegationOf(region), Risk: control.Disruptive,
		Fields: []control.Field{field("delegatedAdministrator", controltest.Admin, got)},
	}}
}

// asAdministrator is how the engine runs the check: in the administrator, in the partition's home region.
func asAdministrator(regions ...string) func(t *control.Target) {
	return func(t *control.Target) {
		t.Account, t.Regions = controltest.Admin, regions
		t.Facts.Administrators[service] = controltest.Admin
	}
}

// delegated is a world where the administrator of each region is as declared and its configuration is lever.
func delegated(lever func() *fakeLever, regions ...string) func(w *world) {
	return func(w *world) {
		for _, r := range regions {
			w.admins[r], w.levers[r], w.detectors[controltest.Admin+"/"+r] = controltest.Admin, lever(), newDetector(true)
		}
	}
}

func autoEnable(members v1alpha1.AutoEnable, f *v1alpha1.GuardDutyOrganizationFeatures) v1alpha1.GuardDutyOrganization {
	return v1alpha1.GuardDutyOrganization{
		ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}, AutoEnable: members, Features: f,
	}
}

func none() *fakeLever { return newLever(types.AutoEnableMembersNone) }
func all() *fakeLever  { return newLever(types.AutoEnableMembersAll, "S3_DATA_EVENTS") }

func TestOrganization(t *testing.T) {
	everyone := autoEnable(v1alpha1.AutoEnableAll, nil)
	s3New := autoEnable("", &v1alpha1.GuardDutyOrganizationFeatures{S3DataEvents: v1alpha1.AutoEnableNew})
	runtime := autoEnable("", &v1alpha1.GuardDutyOrganizationFeatures{RuntimeMonitoring: &v1alpha1.OrganizationRuntimeMonitoring{
		AutoEnable: v1alpha1.AutoEnableNew, EKSAddonManagement: v1alpha1.AutoEnableNew, EC2AgentManagement: v1alpha1.AutoEnableNone,
	}})
	noRuntime := autoEnable("", &v1alpha1.GuardDutyOrganizationFeatures{
		RuntimeMonitoring: &v1alpha1.OrganizationRuntimeMonitoring{AutoEnable: v1alpha1.AutoEnableNone},
	})
	listAdmins := []string{"guardduty:ListOrganizationAdminAccounts"}

	controltest.Run(t, Organization, []controltest.Case[v1alpha1.GuardDutyOrganization]{
		{
			Name: "every region as declared is compliant", Want: everyone, Target: asAdministrator(frankfurt, ireland),
			AWS: stage(delegated(all, frankfurt, ireland)),
		},
		{
			Name: "one region that departs drifts by itself", Want: everyone, Target: asAdministrator(frankfurt, ireland),
			AWS: stage(func(w *world) {
				delegated(all, frankfurt)(w)
				delegated(none, ireland)(w)
			}),
			Findings: []control.Finding{leverFinding(ireland, false, field("autoEnable", "ALL", "NONE"))},
		},
		{
			Name: "lowering to NONE weakens", Want: autoEnable(v1alpha1.AutoEnableNone, nil), Target: asAdministrator(frankfurt),
			AWS:      stage(delegated(all, frankfurt)),
			Findings: []control.Finding{leverFinding(frankfurt, true, field("autoEnable", "NONE", "ALL"))},
		},
		{
			Name: "lowering a plan from ALL to NEW weakens", Want: s3New, Target: asAdministrator(frankfurt),
			AWS:      stage(delegated(all, frankfurt)),
			Findings: []control.Finding{leverFinding(frankfurt, true, field("s3DataEvents", "NEW", "ALL"))},
		},
		{
			Name: "what is lowered waits by itself and keeps nothing from being raised", Target: asAdministrator(frankfurt),
			Want: autoEnable(v1alpha1.AutoEnableAll, &v1alpha1.GuardDutyOrganizationFeatures{
				S3DataEvents: v1alpha1.AutoEnableNone, RDSLoginEvents: v1alpha1.AutoEnableNew,
			}),
			AWS: stage(delegated(func() *fakeLever { return newLever("NEW", "S3_DATA_EVENTS") }, frankfurt)),
			Findings: []control.Finding{
				leverFinding(frankfurt, false, field("autoEnable", "ALL", "NEW"), field("rdsLoginEvents", "NEW", "NONE")),
				leverFinding(frankfurt, true, field("s3DataEvents", "NONE", "ALL")),
			},
		},
		{
			Name: "so does autoEnable beside a plan", Target: asAdministrator(frankfurt),
			Want: autoEnable(v1alpha1.AutoEnableNew, &v1alpha1.GuardDutyOrganizationFeatures{RDSLoginEvents: v1alpha1.AutoEnableNew}),
			AWS:  stage(delegated(all, frankfurt)),
			Findings: []control.Finding{
				leverFinding(frankfurt, false, field("rdsLoginEvents", "NEW", "NONE")),
				leverFinding(frankfurt, true, field("autoEnable", "NEW", "ALL")),
			},
		},
		{
			Name: "Runtime Monitoring and its agents", Want: runtime, Target: asAdministrator(frankfurt),
			AWS: stage(delegated(none, frankfurt)),
			Findings: []control.Finding{leverFinding(frankfurt, false,
				field("runtimeMonitoring", "NEW", "NONE"), field("runtimeMonitoring.eksAddonManagement", "NEW", "NONE"))},
		},
		{
			Name: "Runtime Monitoring lowered to NONE", Want: noRuntime, Target: asAdministrator(frankfurt),
			AWS:      stage(delegated(func() *fakeLever { return newLever("NEW", runtimeMonitoring) }, frankfurt)),
			Findings: []control.Finding{leverFinding(frankfurt, true, field("runtimeMonitoring", "NONE", "ALL"))},
		},
		{
			Name: "a plan that a region does not offer is not applicable there", Want: s3New, Target: asAdministrator(frankfurt),
			AWS: stage(func(w *world) {
				delegated(none, frankfurt)(w)
				w.missing = []string{"S3_DATA_EVENTS"}
			}),
			Findings: []control.Finding{at(configuration(frankfurt), control.NotApplicable, ReasonPlanNotOffered)},
		},
		{
			Name: "a word for a plan that is not known is not judged", Want: s3New, Target: asAdministrator(frankfurt),
			AWS: stage(func(w *world) {
				delegated(none, frankfurt)(w)
				w.levers[frankfurt].features["S3_DATA_EVENTS"] = "SOME"
			}),
			Findings: []control.Finding{at(configuration(frankfurt), control.Unknown, control.ReasonUnexpectedData)},
		},
		{
			Name: "a region whose configuration lacks autoEnableOrganizationMembers is unknown", Want: everyone, Target: asAdministrator(frankfurt),
			AWS:      stage(delegated(func() *fakeLever { return newLever("") }, frankfurt)),
			Findings: []control.Finding{at(configuration(frankfurt), control.Unknown, control.ReasonUnexpectedData)},
		},
		{
			Name: "one unreadable region is one unknown beside the others", Want: everyone, Target: asAdministrator(frankfurt, ireland),
			AWS: func(c *cloudtest.Cloud) {
				w := newWorld()
				delegated(all, frankfurt, ireland)(w)
				w.stage(c)
				cloudtest.Handle(c, func(call cloudtest.Call, _ *guardduty.ListDetectorsInput) (*guardduty.ListDetectorsOutput, error) {
					if call.Region == ireland {
						return nil, cloudtest.Error("AccessDeniedException", "with an explicit deny in a service control policy")
					}
					return &guardduty.ListDetectorsOutput{DetectorIds: []string{"id-of-" + key(call)}}, nil
				})
			},
			Findings: []control.Finding{at(configuration(ireland), control.Unknown, control.ReasonDeniedBySCP)},
		},
		{
			Name: "no administrator drifts and is named by the management account; the configuration waits for it", Want: everyone,
			Target: asAdministrator(frankfurt), AWS: stage(func(*world) {}),
			Findings: []control.Finding{notDelegated(frankfurt, "none"), at(configuration(frankfurt), control.Waiting, v1alpha1.RowWaiting)},
			Remains:  []control.Finding{leverFinding(frankfurt, false, field("autoEnable", "ALL", "NONE"))},
		},
		{
			Name: "another administrator is reported and left", Want: everyone, Target: asAdministrator(frankfurt),
			AWS: stage(func(w *world) { w.admins[frankfurt] = "999999999999" }),
			Findings: []control.Finding{reported(notDelegated(frankfurt, "999999999999"), ReasonOtherAdministrator),
				at(configuration(frankfurt), control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "an administrator that is being removed is waited for", Want: everyone, Target: asAdministrator(frankfurt),
			AWS: stage(func(w *world) { w.admins[frankfurt], w.ending = controltest.Admin, true }),
			Findings: []control.Finding{at(delegationOf(frankfurt), control.Waiting, v1alpha1.RowWaiting),
				at(configuration(frankfurt), control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "an administrator without a detector is waited for", Want: everyone, Target: asAdministrator(frankfurt),
			AWS: stage(func(w *world) {
				delegated(all, frankfurt)(w)
				delete(w.detectors, controltest.Admin+"/"+frankfurt)
			}),
			Tolerates: listAdmins,
			Findings:  []control.Finding{at(configuration(frankfurt), control.Waiting, v1alpha1.RowWaiting)},
		},
		{
			Name: "the management account may administer GuardDuty itself", Want: everyone,
			Target: func(t *control.Target) {
				asAdministrator(frankfurt)(t)
				t.Facts.ManagementAccount = controltest.Admin
			},
			AWS: func(c *cloudtest.Cloud) {
				stage(delegated(none, frankfurt))(c)
				cloudtest.Handle(c, func(cloudtest.Call, *guardduty.ListOrganizationAdminAccountsInput) (*guardduty.ListOrganizationAdminAccountsOutput, error) {
					id := controltest.Admin
					return &guardduty.ListOrganizationAdminAccountsOutput{
						AdminAccounts: []types.AdminAccount{{AdminAccountId: &id, AdminStatus: types.AdminStatusEnabled}},
					}, nil
				})
			},
			Findings: []control.Finding{leverFinding(frankfurt, false, field("autoEnable", "ALL", "NONE"))},
		},
		{
			Name: "a change that an Organizations policy refuses is refused", Want: everyone, Target: asAdministrator(frankfurt), Refused: true,
			AWS: func(c *cloudtest.Cloud) {
				stage(delegated(none, frankfurt))(c)
				c.Deny("guardduty:UpdateOrganizationConfiguration", bad("it is managed by an organization policy."))
			},
			Findings: []control.Finding{leverFinding(frankfurt, false, field("autoEnable", "ALL", "NONE"))},
		},
		{
			Name: "without a declared administrator there is nothing to ask", Want: everyone,
			Target: func(t *control.Target) { t.Account = controltest.Management }, AWS: stage(func(*world) {}),
			Findings: []control.Finding{at("", control.Unknown, ReasonAdministratorNotDeclared)},
		},
		{
			Name: "without a region there is nothing to look at", Want: everyone, Target: asAdministrator(), AWS: stage(func(*world) {}),
			Findings: []control.Finding{at("", control.Unknown, ReasonNoRegion)},
		},
	})
}

// The calls about the delegation are the management account's, all others the administrator's, each in its region.
func TestWhoIsAskedForTheOrganization(t *testing.T) {
	c := &cloudtest.Cloud{Admins: map[string]string{}}
	stage(delegated(all, ireland))(c)
	on := control.Target{Partition: "aws", Region: "us-east-1", Now: controltest.Now, Facts: control.Facts{
		ManagementAccount: controltest.Management, Administrators: map[string]string{},
	}}
	asAdministrator(ireland)(&on)
	want := autoEnable(v1alpha1.AutoEnableAll, nil)
	found, err := Organization.With(&want).Observe(context.Background(), control.NewTarget(on, c.Connector(on.Account), Organization.Reads, nil, nil))
	if err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	var got []string
	for _, call := range c.Calls() {
		got = append(got, call.Account+"/"+call.Region+" "+call.Operation)
	}
	if diff := cmp.Diff([]string{
		controltest.Management + "/eu-west-1 ListOrganizationAdminAccounts",
		controltest.Admin + "/eu-west-1 ListDetectors",
		controltest.Admin + "/eu-west-1 DescribeOrganizationConfiguration",
	}, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A change of one plan sends that plan, and autoEnable as it is: AWS refuses a request without it.
func TestAChangeOfOnePlanKeepsTheRest(t *testing.T) {
	c := &cloudtest.Cloud{Admins: map[string]string{}}
	w := newWorld()
	delegated(all, frankfurt)(w)
	w.stage(c)
	var sent *guardduty.UpdateOrganizationConfigurationInput
	cloudtest.Handle(c, func(_ cloudtest.Call, in *guardduty.UpdateOrganizationConfigurationInput) (*guardduty.UpdateOrganizationConfigurationOutput, error) {
		sent = in
		return &guardduty.UpdateOrganizationConfigurationOutput{}, nil
	})
	on := control.Target{Partition: "aws", Region: "us-east-1", Facts: control.Facts{Administrators: map[string]string{}}}
	asAdministrator(frankfurt)(&on)
	err := Organization.Remediate(context.Background(), control.NewTarget(on, c.Connector(on.Account), Organization.Actions(), nil, nil), control.Drift{
		After: control.JSON(organizationChange{Region: frankfurt, Plans: changes{"runtimeMonitoring.eksAddonManagement": "NEW", "runtimeMonitoring": "NEW"}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if sent.AutoEnableOrganizationMembers != types.AutoEnableMembersAll {
		t.Errorf("autoEnableOrganizationMembers is sent as %q, want ALL, as it is", sent.AutoEnableOrganizationMembers)
	}
	if diff := cmp.Diff([]types.OrganizationFeatureConfiguration{{
		Name: runtimeMonitoring, AutoEnable: types.OrgFeatureStatusNew,
		AdditionalConfiguration: []types.OrganizationAdditionalConfiguration{
			{Name: "EKS_ADDON_MANAGEMENT", AutoEnable: types.OrgFeatureStatusNew},
			{Name: "ECS_FARGATE_AGENT_MANAGEMENT", AutoEnable: types.OrgFeatureStatusNone},
			{Name: "EC2_AGENT_MANAGEMENT", AutoEnable: types.OrgFeatureStatusNone},
		},
	}}, sent.Features, ignoreSerde); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
}

package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	plumblineiam "github.com/plumbline-dev/plumbline/controllers/controls/iam"
	"github.com/plumbline-dev/plumbline/test/stack"
)

const (
	tooling    = "444455556666"
	externalID = "plumbline-example"
	// manager is whom the roles trust, other somebody else of the same account.
	manager = "arn:aws:iam::" + tooling + ":role/plumbline-manager"
	other   = "arn:aws:iam::" + tooling + ":role/other"
	// enforcer is whom the roles trust besides, where hands are separate.
	enforcer = "arn:aws:iam::" + tooling + ":role/plumbline-enforcer"
)

// members are accounts, one for each case: the emulator's CloudFormation leaves the policies of a deleted stack behind.
var members = []string{"111122223333", "222233334444", "333344445555", "555566667777", "666677778888"}

// always are the policies of the audit role in every account.
var always = []string{"audit-cloudtrail", "audit-encryption", "audit-guardduty", "audit-iam", "audit-s3", "audit-session", "deny-data"}

// TestMemberRoles creates the CloudFormation template in member accounts. It rests on the emulator: CloudFormation is moto's,
// which attaches no policies to the roles it makes, so what is attached is read from the template; trust policies are
// evaluated by the project's own model of AWS in test/emulator.
func TestMemberRoles(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	e := startEmulator(ctx, t)
	seed := stack.OrganizationSeed{Accounts: []stack.AccountSeed{{ID: tooling, Name: "tooling"}}}
	for i, id := range members {
		seed.Accounts = append(seed.Accounts, stack.AccountSeed{ID: id, Name: fmt.Sprintf("member-%d", i)})
	}
	org, err := e.SeedOrganization(ctx, seed)
	if err != nil {
		t.Fatal(err)
	}
	callers := map[string]aws.Config{}
	for _, who := range []string{manager, other, enforcer} {
		callers[who] = sessionOf(ctx, t, e, who)
	}

	for i, c := range []struct {
		sentence       string
		chosen         map[string]string
		audit, enforce []string
	}{
		{sentence: "without Enforce there is an audit role only", audit: always},
		{
			sentence: "with Enforce there is an enforce role, which by itself writes no policies and no trails",
			chosen:   map[string]string{"Enforce": "true"}, audit: always,
			enforce: []string{"deny-data", "enforce-encryption", "enforce-guardduty", "enforce-iam", "enforce-s3"},
		},
		{
			sentence: "each policy that is not everybody's can be chosen",
			chosen: map[string]string{"Enforce": "true", "ReadOrganization": "true", "EnforceCloudTrail": "true",
				"EnforceS3Policies": "true", "EnforceIAM": "false", "EnforceGuardDuty": "false", "EnforceEncryption": "false"},
			audit:   append(slices.Clone(always), "read-organization"),
			enforce: []string{"deny-data", "enforce-cloudtrail", "enforce-s3", "enforce-s3-policies"},
		},
		{
			sentence: "the parameters of the enforce role give nothing without it",
			chosen:   map[string]string{"EnforceCloudTrail": "true", "EnforceS3Policies": "true"}, audit: always,
		},
		{
			sentence: "with an enforcer the manager gets into the audit role only",
			chosen:   map[string]string{"Enforce": "true", "EnforcerARN": enforcer}, audit: always,
			enforce: []string{"deny-data", "enforce-encryption", "enforce-guardduty", "enforce-iam", "enforce-s3"},
		},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			m := memberAccount{emulator: e, id: members[i], organization: org.ID, callers: callers,
				iam: awsiam.NewFromConfig(e.Config(members[i], "")), stacks: cloudformation.NewFromConfig(e.Config(members[i], ""))}
			m.enforcer = c.chosen["EnforcerARN"]
			m.deploy(ctx, t, c.chosen)
			want := map[string][]string{"PlumblineAudit": c.audit}
			if c.enforce != nil {
				want["PlumblineEnforce"] = c.enforce
			}
			if diff := cmp.Diff(want, attachedByTemplate(t, c.chosen)); diff != "" {
				t.Errorf("policies by role (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), m.roles(ctx, t)); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
			for role := range want {
				m.checkTrust(ctx, t, role)
			}
			m.checkDocuments(ctx, t, sorted(slices.Concat(c.audit, c.enforce)))
			m.checkIntact(ctx, t, c.enforce != nil)
		})
	}
}

// sessionOf makes a role in the tooling account and signs in as it, as the manager does.
func sessionOf(ctx context.Context, t *testing.T, e *stack.Emulator, role string) aws.Config {
	t.Helper()
	trust := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::` + tooling +
		`:root"}, "Action": "sts:AssumeRole"}]}`
	if _, err := awsiam.NewFromConfig(e.Config(tooling, "")).CreateRole(ctx, &awsiam.CreateRoleInput{
		RoleName: aws.String(nameOf(role)), AssumeRolePolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	answer, err := sts.NewFromConfig(e.Config(tooling, "")).AssumeRole(ctx,
		&sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("pod")})
	if err != nil {
		t.Fatal(err)
	}
	config := e.Config(tooling, "")
	config.Credentials = credentials.NewStaticCredentialsProvider(aws.ToString(answer.Credentials.AccessKeyId),
		aws.ToString(answer.Credentials.SecretAccessKey), aws.ToString(answer.Credentials.SessionToken))
	return config
}

func nameOf(role string) string { return role[strings.LastIndex(role, "/")+1:] }

func startEmulator(ctx context.Context, t *testing.T) *stack.Emulator {
	t.Helper()
	e, err := stack.StartEmulator(ctx, stack.EmulatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// A memberAccount is one that the template is deployed into.
type memberAccount struct {
	emulator         *stack.Emulator
	iam              *awsiam.Client
	stacks           *cloudformation.Client
	id, organization string
	// enforcer is whom the template was told to trust as such; empty: nobody.
	enforcer string
	callers  map[string]aws.Config
}

const stackName = "plumbline-member-roles"

func (m memberAccount) deploy(ctx context.Context, t *testing.T, chosen map[string]string) {
	t.Helper()
	parameters := map[string]string{"PrincipalARN": manager, "ExternalId": externalID, "OrganizationId": m.organization}
	maps.Copy(parameters, chosen)
	input := &cloudformation.CreateStackInput{StackName: aws.String(stackName), TemplateBody: aws.String(read(t, "config/iam/member-roles.yaml")),
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for name, value := range parameters {
		input.Parameters = append(input.Parameters, types.Parameter{ParameterKey: &name, ParameterValue: &value})
	}
	if _, err := m.stacks.CreateStack(ctx, input); err != nil {
		t.Fatal(err)
	}
	if err := cloudformation.NewStackCreateCompleteWaiter(m.stacks).Wait(ctx,
		&cloudformation.DescribeStacksInput{StackName: aws.String(stackName)}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// roles are the names of the roles below /plumbline/.
func (m memberAccount) roles(ctx context.Context, t *testing.T) []string {
	t.Helper()
	answer, err := m.iam.ListRoles(ctx, &awsiam.ListRolesInput{PathPrefix: aws.String("/plumbline/")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, role := range answer.Roles {
		names = append(names, aws.ToString(role.RoleName))
	}
	return sorted(names)
}

// checkTrust asks for a role as each who might.
func (m memberAccount) checkTrust(ctx context.Context, t *testing.T, role string) {
	t.Helper()
	var principals any = manager
	switch {
	case m.enforcer != "" && role == "PlumblineEnforce":
		principals = m.enforcer
	case m.enforcer != "":
		principals = []any{manager, m.enforcer}
	}
	for sentence, c := range map[string]struct {
		caller, externalID string
		in                 bool
	}{
		"the manager with the ExternalId":  {manager, externalID, m.enforcer == "" || role == "PlumblineAudit"},
		"the manager with another":         {manager, "another", false},
		"the manager without one":          {manager, "", false},
		"another role of its account":      {other, externalID, false},
		"the enforcer, where there is one": {enforcer, externalID, m.enforcer != ""},
		"the enforcer with another":        {enforcer, "another", false},
	} {
		t.Run(role+": "+sentence, func(t *testing.T) {
			input := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + m.id + ":role/plumbline/" + role),
				RoleSessionName: aws.String("plumbline-audit")}
			if c.externalID != "" {
				input.ExternalId = &c.externalID
			}
			if _, err := sts.NewFromConfig(m.callers[c.caller]).AssumeRole(ctx, input); (err == nil) != c.in {
				t.Errorf("AssumeRole: %v", err)
			}
		})
	}
	answer, err := m.iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: &role})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "ThisInstallation", "Effect": "Allow", "Principal": map[string]any{"AWS": principals}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]any{"sts:ExternalId": externalID, "aws:PrincipalOrgID": m.organization}},
	}}}
	if diff := cmp.Diff(want, decoded(t, aws.ToString(answer.Role.AssumeRolePolicyDocument))); diff != "" {
		t.Errorf("trust policy of %s (-want +got):\n%s", role, diff)
	}
}

// checkDocuments compares what was deployed with the JSON files: these policies and the guards, the same but for the
// account's id.
func (m memberAccount) checkDocuments(ctx context.Context, t *testing.T, want []string) {
	t.Helper()
	answer, err := m.iam.ListPolicies(ctx, &awsiam.ListPoliciesInput{PathPrefix: aws.String("/plumbline/"), MaxItems: aws.Int32(100)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range answer.Policies {
		version, err := m.iam.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})
		if err != nil {
			t.Fatal(err)
		}
		name := aws.ToString(p.PolicyName)
		got = append(got, name)
		deployed := parsed(t, encoded(t, decoded(t, aws.ToString(version.PolicyVersion.Document))))
		if diff := cmp.Diff(parsed(t, m.fileOf(t, name)), deployed); diff != "" {
			t.Errorf("%s (-file +deployed):\n%s", name, diff)
		}
	}
	for _, variant := range plumblineiam.Guards {
		want = append(want, plumblineiam.GuardName(variant))
	}
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("policies (-want +made):\n%s", diff)
	}
}

// checkIntact asks the control that watches the roles, which comes in as the manager does.
func (m memberAccount) checkIntact(ctx context.Context, t *testing.T, enforce bool) {
	t.Helper()
	roles := cloud.Account{ID: m.id, Partition: "aws", AuditRole: "arn:aws:iam::" + m.id + ":role/plumbline/PlumblineAudit",
		EnforceRole: "arn:aws:iam::" + m.id + ":role/plumbline/PlumblineEnforce", ExternalID: externalID}
	watch := plumblineiam.PlumblineRoles
	target := control.NewTarget(control.Target{Account: m.id, Partition: "aws", Region: stack.DefaultRegion,
		Facts: control.Facts{OrganizationID: m.organization, AuditRole: roles.AuditRole, EnforceRole: roles.EnforceRole, ExternalID: externalID, EnforcerPrincipal: m.enforcer},
	}, cloud.New(m.callers[manager], nil, time.Now).Session(roles, nil), watch.Reads, nil, nil)
	found, err := watch.Observe(ctx, target, v1alpha1.PlumblineRoles{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, string(f.Outcome)+" "+f.Reason+" "+nameOf(f.Resource))
	}
	var want []string
	if !enforce {
		want = []string{"NotApplicable NoEnforceRole PlumblineEnforce"}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s finds (-want +got):\n%s", watch.ID, diff)
	}
}

// fileOf is a policy's file with the account's id where it leaves it open. The guards leave it open everywhere.
func (m memberAccount) fileOf(t *testing.T, name string) string {
	t.Helper()
	if strings.HasPrefix(name, "mfa-guard") {
		return read(t, "config/iam/"+name+".json")
	}
	return strings.ReplaceAll(read(t, "config/iam/policies/"+name+".json"), "arn:aws:iam::*:", "arn:aws:iam::"+m.id+":")
}

// decoded reads a policy as IAM answers it, encoded as a part of a URL.
func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	plain, err := url.PathUnescape(text)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(plain), &document); err != nil {
		t.Fatal(fmt.Errorf("reading %s: %w", plain, err))
	}
	return document
}

func encoded(t *testing.T, document map[string]any) string {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

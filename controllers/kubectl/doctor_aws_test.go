package kubectl

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

// hospital is an organization of three accounts whose roles let in whoever sends the ExternalId.
type hospital struct {
	cloudtest.Cloud
	// attached is how many policies each role has, admins whom AWS has registered for GuardDuty.
	attached int
	admins   []string
}

func newHospital() *hospital {
	h := &hospital{attached: 7, admins: []string{shopDev}}
	h.Trust("plumbline-test")
	h.organization()
	cloudtest.Handle(&h.Cloud, func(call cloudtest.Call, _ *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{Regions: []ec2types.Region{
			{RegionName: aws.String(frankfurt)}, {RegionName: aws.String(ireland)}, {RegionName: aws.String("us-east-1")},
		}}, nil
	})
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
		return &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: make([]iamtypes.AttachedPolicy, h.attached)}, nil
	})
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *iam.GetCredentialReportInput) (*iam.GetCredentialReportOutput, error) {
		return nil, cloudtest.Error("ReportNotPresent", "none")
	})
	return h
}

func (h *hospital) organization() {
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *organizations.DescribeOrganizationInput) (*organizations.DescribeOrganizationOutput, error) {
		return &organizations.DescribeOrganizationOutput{Organization: &orgtypes.Organization{Id: aws.String("o-example"), MasterAccountId: aws.String(management)}}, nil
	})
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *organizations.ListAccountsInput) (*organizations.ListAccountsOutput, error) {
		out := &organizations.ListAccountsOutput{}
		for _, id := range []string{payProd, shopDev, management} {
			out.Accounts = append(out.Accounts, orgtypes.Account{Id: aws.String(id), State: orgtypes.AccountStateActive, Paths: []string{"o-example/r-ab12/" + id + "/"}})
		}
		return out, nil
	})
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *organizations.ListRootsInput) (*organizations.ListRootsOutput, error) {
		return &organizations.ListRootsOutput{Roots: []orgtypes.Root{{Id: aws.String("r-ab12"), Name: aws.String("Root")}}}, nil
	})
	cloudtest.Handle(&h.Cloud, func(cloudtest.Call, *organizations.ListOrganizationalUnitsForParentInput) (*organizations.ListOrganizationalUnitsForParentOutput, error) {
		return &organizations.ListOrganizationalUnitsForParentOutput{}, nil
	})
	cloudtest.Handle(&h.Cloud, func(_ cloudtest.Call, in *organizations.ListDelegatedAdministratorsInput) (*organizations.ListDelegatedAdministratorsOutput, error) {
		out := &organizations.ListDelegatedAdministratorsOutput{}
		if aws.ToString(in.ServicePrincipal) == "guardduty.amazonaws.com" {
			for _, id := range h.admins {
				out.DelegatedAdministrators = append(out.DelegatedAdministrators, orgtypes.DelegatedAdministrator{Id: aws.String(id)})
			}
		}
		return out, nil
	})
}

const declaredOrganization = `apiVersion: plumbline.dev/v1alpha1
kind: AWSOrganization
metadata: {name: main}
spec:
  managementAccount: "123456789012"
  regions: [eu-central-1, eu-west-1]
  roles: {externalId: plumbline-test}
  delegatedAdministrators: {guardduty: "111122226666"}
`

// doctorOf runs doctor with a file, without a cluster, and returns what it printed to standard output.
func (h *hospital) doctorOf(t *testing.T, text string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "awsorganization.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	code = Main(t.Context(), append([]string{"kubectl-plumbline", "doctor", "-f", file, "--kubeconfig", "/nonexistent"}, args...), Options{
		Kinds: controls.Kinds(), Version: "v1.2.3", Clock: time.Now, AWS: func(context.Context) (aws.Config, error) { return h.Base(), nil },
		Streams: genericclioptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut},
	})
	return out.String(), errOut.String(), code
}

const healthy = `Cluster
  SKIP   API server   no cluster is reached, and none of it is looked at: reading the kubeconfig: stat /nonexistent: no such file or directory
                      next: set KUBECONFIG, or name a cluster with --kubeconfig or --context

AWS
  WARN   credentials                you are arn:aws:iam::999900009999:user/manager; the manager's own identity may be another
                                    next: look with the manager's identity: the roles trust no other
  OK     AWS Organizations          o-example, read from 123456789012, the management account: 3 accounts
  OK     management account         123456789012
  OK     GuardDuty administrator    111122226666 is an account of the organization, registered as administrator
  OK     CloudTrail administrator   none is declared, and AWS has none

Accounts
  OK     audit role          111122223333, 111122226666, 123456789012: arn:aws:iam::ACCOUNT:role/plumbline/PlumblineAudit can be assumed and leads into the account
  OK     enforce role        111122223333, 111122226666, 123456789012: arn:aws:iam::ACCOUNT:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  OK     trust               111122223333, 111122226666, 123456789012: asks for the ExternalId
  OK     regions             111122223333, 111122226666, 123456789012: 2 governed regions enabled and answering; 1 enabled region not governed
  OK     policies            111122223333, 111122226666, 123456789012: 7 of 10 attached to PlumblineAudit, 7 of 10 attached to PlumblineEnforce
  OK     credential report   111122223333, 111122226666, 123456789012: can be read; there is none yet, and the first pass of an IAMBaseline has one made

22 OK, 1 WARN, 0 FAIL, 1 SKIP
`

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	h := newHospital()
	stdout, stderr, code := h.doctorOf(t, declaredOrganization)
	if diff := cmp.Diff(healthy, stdout); diff != "" || code != exitDone {
		t.Errorf("exit code %d, standard output (-want +got):\n%s", code, diff)
	}
	if want := "looking at 3 accounts\n1 of 3 done\n2 of 3 done\n3 of 3 done\n"; stderr != want {
		t.Errorf("standard error: %q, want %q", stderr, want)
	}
}

func TestDoctorOnlyReads(t *testing.T) {
	h := newHospital()
	h.doctorOf(t, declaredOrganization)
	reads := []string{
		"sts:AssumeRole", "sts:GetCallerIdentity", "ec2:DescribeRegions", "iam:ListAttachedRolePolicies", "iam:GetCredentialReport",
		"organizations:DescribeOrganization", "organizations:ListAccounts", "organizations:ListRoots",
		"organizations:ListOrganizationalUnitsForParent", "organizations:ListDelegatedAdministrators",
	}
	made := map[string]bool{}
	for _, call := range h.Calls() {
		made[call.Action] = true
	}
	want := map[string]bool{}
	for _, r := range reads {
		want[r] = true
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	for _, s := range h.Sessions() {
		if s.Name == "plumbline-doctor" && !strings.Contains(s.Policy, `"Effect":"Deny","Action":"*","Resource":"*"`) || strings.HasSuffix(s.Role, "Enforce") && s.Name != "plumbline-doctor" {
			t.Errorf("a session that may do something: %+v", s)
		}
	}
}

// scp is what AWS answers where a service control policy refuses a call.
func scp() error {
	return cloudtest.Error("UnauthorizedOperation", "You are not authorized to perform this operation with an explicit deny in a service control policy")
}

func TestDoctorSaysWhatIsWrongInAnAccount(t *testing.T) {
	const audit, enforce = "arn:aws:iam::111122223333:role/plumbline/PlumblineAudit", "arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce"
	for name, tc := range map[string]struct {
		change func(*hospital)
		file   string
		args   []string
		want   string
		code   int
	}{
		"the audit role is missing": {change: func(h *hospital) { h.DenyRole(audit, cloudtest.Refused()) }, code: exitError, want: `
  FAIL   audit role     111122223333: AccessDenied: User is not authorized to perform: sts:AssumeRole
                        next: sts:AssumeRole of arn:aws:iam::111122223333:role/plumbline/PlumblineAudit was refused: deploy the member roles of config/iam there, and check that the trust policy names the manager's identity and the external id
  OK     enforce role   111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  OK     trust          111122223333: asks for the ExternalId
  SKIP   regions        111122223333: not looked at: the audit role cannot be assumed
`},
		"the audit role leads elsewhere": {change: func(h *hospital) { h.LeadRole(audit, payDev); h.DenyRole(enforce, cloudtest.Refused()) }, code: exitError, want: `
  FAIL   audit role     111122223333: the role's credentials belong to another account: wanted 111122223333, got 111122225555
                        next: nothing is called with them; mend the role ARN
  WARN   enforce role   111122223333: audit only: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce is not there, or does not let you in
                        next: nothing, if nothing is to be changed there; else deploy it with Enforce=true (config/iam)
  SKIP   regions        111122223333: not looked at: the audit role cannot be assumed
`},
		"the enforce role lets the enforcer in alone": {change: func(h *hospital) {
			h.DenyRole(enforce, cloudtest.Refused())
			h.DenyRole(audit, cloudtest.Refused())
		}, file: strings.Replace(declaredOrganization, "roles: {", `roles: {enforcerPrincipal: "arn:aws:iam::444455556666:role/plumbline-enforcer", `, 1), code: exitError, want: `
  FAIL   audit role     111122223333: AccessDenied: User is not authorized to perform: sts:AssumeRole
                        next: sts:AssumeRole of arn:aws:iam::111122223333:role/plumbline/PlumblineAudit was refused: deploy the member roles of config/iam there, and check that the trust policy names the manager's identity and the external id
  WARN   enforce role   111122223333: audit only: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce is not there, or does not let you in
                        next: look as arn:aws:iam::444455556666:role/plumbline-enforcer, whom alone it lets in; if it refuses that one too, deploy it with Enforce=true and EnforcerARN (config/iam)
  SKIP   regions        111122223333: not looked at: the audit role cannot be assumed
`},
		"the trust is too open": {change: func(h *hospital) { h.OpenRole(audit) }, want: `
  OK     audit role          111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit can be assumed and leads into the account
  OK     enforce role        111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  WARN   trust               111122223333: too open, for it does not ask for the ExternalId: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit
                             next: deploy the member roles of config/iam anew, with the ExternalId
  OK     regions             111122223333: 2 governed regions enabled and answering; 1 enabled region not governed
  OK     policies            111122223333: 7 of 10 attached to PlumblineAudit, 7 of 10 attached to PlumblineEnforce
  OK     credential report   111122223333: can be read; there is none yet, and the first pass of an IAMBaseline has one made
`},
		"the trust is not to be tried": {change: func(h *hospital) { h.OpenRole(audit); h.attached = 10 }, args: []string{"--no-trust-probe"}, want: `
  OK     audit role          111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit can be assumed and leads into the account
  OK     enforce role        111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  SKIP   trust               111122223333: not tried without the ExternalId, for --no-trust-probe says so
  OK     regions             111122223333: 2 governed regions enabled and answering; 1 enabled region not governed
  WARN   policies            111122223333: 10 of 10 attached to PlumblineAudit, 10 of 10 attached to PlumblineEnforce
                             next: attach no other policies to the roles, or have the quota of managed policies per role raised
  OK     credential report   111122223333: can be read; there is none yet, and the first pass of an IAMBaseline has one made
`},
		"a region is denied and one is not enabled": {
			file: strings.Replace(declaredOrganization, "eu-west-1]", "eu-west-1, ap-east-1]", 1),
			change: func(h *hospital) {
				h.Break(func(_ int, call cloudtest.Call) error {
					if call.Operation == "DescribeRegions" && call.Region == ireland {
						return scp()
					}
					return nil
				})
				h.Deny("iam:GetCredentialReport", nil)
				h.Deny("iam:ListAttachedRolePolicies", nil)
			}, want: `
  OK     audit role          111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit can be assumed and leads into the account
  OK     enforce role        111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  OK     trust               111122223333: asks for the ExternalId
  WARN   regions             111122223333: governed but not enabled: ap-east-1
                             next: enable them in the account, or leave them out of spec.regions; nothing is looked at there
  WARN   regions             111122223333: eu-west-1: denied by a service control policy
                             next: leave the region out of spec.regions, or change the policy; nothing is looked at there
  SKIP   policies            111122223333: those attached to PlumblineAudit cannot be counted: AccessDenied: User is not authorized to perform: iam:ListAttachedRolePolicies
                             next: allow iam:ListAttachedRolePolicies to arn:aws:iam::111122223333:role/plumbline/PlumblineAudit (config/iam), and see whether the resource's own policy refuses it
  SKIP   credential report   111122223333: cannot be read: AccessDenied: User is not authorized to perform: iam:GetCredentialReport
                             next: allow iam:GetCredentialReport to arn:aws:iam::111122223333:role/plumbline/PlumblineAudit (config/iam), and see whether the resource's own policy refuses it
`},
		"the regions cannot be read": {change: func(h *hospital) { h.Deny("ec2:DescribeRegions", nil) }, code: exitError, args: []string{"--no-trust-probe"}, want: `
  OK     audit role          111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineAudit can be assumed and leads into the account
  OK     enforce role        111122223333: arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce can be assumed and leads into the account
  SKIP   trust               111122223333: not tried without the ExternalId, for --no-trust-probe says so
  FAIL   regions             111122223333: which are enabled cannot be read: AccessDenied: User is not authorized to perform: ec2:DescribeRegions
                             next: allow ec2:DescribeRegions to arn:aws:iam::111122223333:role/plumbline/PlumblineAudit (config/iam), and see whether the resource's own policy refuses it
  OK     policies            111122223333: 7 of 10 attached to PlumblineAudit, 7 of 10 attached to PlumblineEnforce
  OK     credential report   111122223333: can be read; there is none yet, and the first pass of an IAMBaseline has one made
`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital()
			tc.change(h)
			if tc.file == "" {
				tc.file = declaredOrganization
			}
			stdout, _, code := h.doctorOf(t, tc.file, append(tc.args, "--account", payProd)...)
			_, stdout, _ = strings.Cut(stdout, "Accounts")
			stdout, _, _ = strings.Cut(stdout, "\n\n")
			if diff := cmp.Diff(strings.TrimSuffix(tc.want, "\n"), stdout); diff != "" || code != tc.code {
				t.Errorf("exit code %d, want %d; accounts (-want +got):\n%s", code, tc.code, diff)
			}
		})
	}
}

func TestDoctorComparesTheOrganization(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*hospital)
		file   func(string) string
		want   string
		code   int
	}{
		"another management account": {file: func(s string) string {
			return strings.Replace(s, `managementAccount: "123456789012"`, `managementAccount: "111122223333"`, 1)
		}, code: exitError, want: `
  OK     AWS Organizations          o-example, read from 111122223333, a delegated administrator: 3 accounts
  FAIL   management account         spec.managementAccount is 111122223333, and AWS says 123456789012
                                    next: correct spec.managementAccount
  OK     GuardDuty administrator    111122226666 is an account of the organization, registered as administrator
  OK     CloudTrail administrator   none is declared, and AWS has none
`},
		"an administrator of another organization, and one that is not registered": {file: func(s string) string {
			return strings.Replace(s, `{guardduty: "111122226666"}`, `{guardduty: "111122225555", cloudtrail: "111122223333"}`, 1)
		}, code: exitError, want: `
  OK     AWS Organizations          o-example, read from 123456789012, the management account: 3 accounts
  OK     management account         123456789012
  FAIL   GuardDuty administrator    111122225555 is no active account of the organization
                                    next: correct spec.delegatedAdministrators
  WARN   CloudTrail administrator   111122223333 is an account of the organization, and AWS has it not registered as administrator
                                    next: register it in the management account, or correct spec.delegatedAdministrators
`},
		"administrators that may not be listed": {change: func(h *hospital) { h.Deny("organizations:ListDelegatedAdministrators", nil) }, want: `
  OK     AWS Organizations          o-example, read from 123456789012, the management account: 3 accounts
  OK     management account         123456789012
  SKIP   GuardDuty administrator    111122226666 is an account of the organization; whether AWS has one registered is not known, for the audit role may not list them
                                    next: see for yourself: aws organizations list-delegated-administrators
  SKIP   CloudTrail administrator   none is declared; whether AWS has one registered is not known, for the audit role may not list them
                                    next: see for yourself: aws organizations list-delegated-administrators
`},
		"an organization that cannot be read": {change: func(h *hospital) { h.Deny("organizations:ListAccounts", nil) }, code: exitError, want: `
  FAIL   AWS Organizations   cannot be read from 123456789012: AccessDenied: User is not authorized to perform: organizations:ListAccounts
                             next: allow organizations:ListAccounts to arn:aws:iam::123456789012:role/plumbline/PlumblineAudit (config/iam), and see whether the resource's own policy refuses it

Accounts
  SKIP   accounts   no account is known
                    next: name some with --account
`},
	} {
		t.Run(name, func(t *testing.T) {
			h, file := newHospital(), declaredOrganization
			if tc.change != nil {
				tc.change(h)
			}
			if tc.file != nil {
				file = tc.file(file)
			}
			stdout, _, code := h.doctorOf(t, file)
			_, stdout, _ = strings.Cut(stdout, "the roles trust no other")
			if got := stdout[:min(len(stdout), len(tc.want))]; got != tc.want || code != tc.code {
				t.Errorf("exit code %d, want %d; AWS (-want +got):\n%s", code, tc.code, cmp.Diff(tc.want, got))
			}
		})
	}
}

func TestDoctorRefusesFilesAndAccountsThatAreNone(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		args []string
		want string
	}{
		"no AWSOrganization": {"kind: ConfigMap\n", nil, "there is none; config/samples/awsorganization.yaml is an example"},
		"two":                {declaredOrganization + "---\n" + declaredOrganization, nil, "there are two; a cluster has one"},
		"a misspelt field":   {strings.Replace(declaredOrganization, "regions:", "region:", 1), nil, `unknown field "region"`},
		"a short id":         {strings.Replace(declaredOrganization, "123456789012", "1234", 1), nil, "account ids of twelve digits"},
		"a name for an id":   {declaredOrganization, []string{"--account", "pay-prod"}, `--account "pay-prod" is no account id`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital()
			stdout, stderr, code := h.doctorOf(t, tc.file, tc.args...)
			if code != exitError || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, want an error with %q\n%s%s", code, tc.want, stdout, stderr)
			}
			if calls := h.Calls(); len(calls) != 0 {
				t.Errorf("AWS was asked: %v", calls)
			}
		})
	}
}

package e2e

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	contract "github.com/plumbline-dev/plumbline/controllers/control"
)

// What the controls of IAMBaseline are called.
const (
	iamRootKeys  = "iam-root-access-keys"
	iamRootMFA   = "iam-root-mfa"
	iamUserMFA   = "iam-user-mfa"
	iamPasswords = "iam-password-policy"
	iamKeyAge    = "iam-access-key-age"
	iamUnused    = "iam-unused-credentials"
	iamSingleKey = "iam-single-access-key"
	iamRoles     = "iam-plumbline-roles"
)

// An iamPerson is a user of an account. Zero times stand for none.
type iamPerson struct {
	name, path string
	// password is when it was made; nobody has used it.
	password time.Time
	mfa      bool
	keys     []iamKey
	// policies are names of AWS's own managed policies.
	policies []string
}

// An iamKey is an access key.
type iamKey struct {
	created, used time.Time
	inactive      bool
	// id is known once the key was made.
	id string
}

func iamOf(account string) *iam.Client {
	return iam.NewFromConfig(shared.emulator.Config(account, virginia))
}

// daysAgo is that many days before now, in whole seconds as IAM keeps times.
func daysAgo(n int) time.Time { return time.Now().UTC().Truncate(time.Second).AddDate(0, 0, -n) }

func iamARN(account, resource string) string { return "arn:aws:iam::" + account + ":" + resource }

// arn is the user's.
func (p iamPerson) arn(account string) string {
	return iamARN(account, "user/"+strings.TrimPrefix(p.path, "/")+p.name)
}

// iamMake makes users in an account. The ids of their keys are filled in.
func (s *scene) iamMake(ctx context.Context, account string, people ...*iamPerson) {
	GinkgoHelper()
	api := iamOf(account)
	for _, p := range people {
		in := &iam.CreateUserInput{UserName: &p.name}
		if p.path != "" {
			in.Path = &p.path
		}
		_, err := api.CreateUser(ctx, in)
		Expect(err).NotTo(HaveOccurred())
		if !p.password.IsZero() {
			_, err := api.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{
				UserName: &p.name, Password: aws.String("Correct-horse-battery-1"), PasswordResetRequired: true,
			})
			Expect(err).NotTo(HaveOccurred())
			s.setState(ctx, map[string]any{"account": account, "user": p.name, "login_profile_created_at": p.password.Format(time.RFC3339)})
		}
		if p.mfa {
			iamEnrol(ctx, account, p.name)
		}
		for i := range p.keys {
			s.iamMakeKey(ctx, account, p.name, &p.keys[i])
		}
		for _, name := range p.policies {
			_, err := api.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{
				UserName: &p.name, PolicyArn: aws.String("arn:aws:iam::aws:policy/" + name),
			})
			Expect(err).NotTo(HaveOccurred())
		}
	}
}

func (s *scene) iamMakeKey(ctx context.Context, account, user string, k *iamKey) {
	GinkgoHelper()
	out, err := iamOf(account).CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	Expect(err).NotTo(HaveOccurred())
	k.id = aws.ToString(out.AccessKey.AccessKeyId)
	state := map[string]any{"account": account, "user": user, "access_key_id": k.id, "access_key_created_at": k.created.Format(time.RFC3339)}
	if !k.used.IsZero() {
		state["access_key_last_used"] = k.used.Format(time.RFC3339)
	}
	s.setState(ctx, state)
	if k.inactive {
		_, err := iamOf(account).UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{
			UserName: &user, AccessKeyId: &k.id, Status: types.StatusTypeInactive,
		})
		Expect(err).NotTo(HaveOccurred())
	}
}

// masked is the key's id as reports show it.
func (k iamKey) masked() string { return k.id[:4] + "…" + k.id[len(k.id)-4:] }

// arn names the key below its user.
func (k iamKey) arn(account string, p *iamPerson) string {
	return p.arn(account) + "/access-key/" + k.id[len(k.id)-4:]
}

// iamActive are the users' active keys.
func iamActive(ctx context.Context, account string, people ...*iamPerson) []string {
	GinkgoHelper()
	var active []string
	for _, p := range people {
		out, err := iamOf(account).ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &p.name})
		Expect(err).NotTo(HaveOccurred())
		for _, k := range out.AccessKeyMetadata {
			if k.Status == types.StatusTypeActive {
				active = append(active, aws.ToString(k.AccessKeyId))
			}
		}
	}
	return active
}

// iamEnrol gives a user an MFA device, as the user would.
func iamEnrol(ctx context.Context, account, user string) {
	GinkgoHelper()
	made, err := iamOf(account).CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user})
	Expect(err).NotTo(HaveOccurred())
	_, err = iamOf(account).EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
		UserName: &user, SerialNumber: made.VirtualMFADevice.SerialNumber,
		AuthenticationCode1: aws.String("123456"), AuthenticationCode2: aws.String("654321"),
	})
	Expect(err).NotTo(HaveOccurred())
}

// iamLose takes a user's MFA device away.
func iamLose(ctx context.Context, account, user string) {
	GinkgoHelper()
	device := iamARN(account, "mfa/"+user)
	_, err := iamOf(account).DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: &user, SerialNumber: &device})
	Expect(err).NotTo(HaveOccurred())
	_, err = iamOf(account).DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &device})
	Expect(err).NotTo(HaveOccurred())
}

// iamPolicy makes a managed policy below a path, and returns its ARN.
func iamPolicy(ctx context.Context, account, path, name, document string) string {
	GinkgoHelper()
	made, err := iamOf(account).CreatePolicy(ctx, &iam.CreatePolicyInput{Path: &path, PolicyName: &name, PolicyDocument: &document})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(made.Policy.Arn)
}

// iamAttached are the names of a user's managed policies, sorted.
func iamAttached(ctx context.Context, account, user string) []string {
	GinkgoHelper()
	out, err := iamOf(account).ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &user})
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, p := range out.AttachedPolicies {
		names = append(names, aws.ToString(p.PolicyName))
	}
	slices.Sort(names)
	return names
}

// iamPasswordPolicy is an account's password policy.
func iamPasswordPolicy(ctx context.Context, account string) types.PasswordPolicy {
	GinkgoHelper()
	out, err := iamOf(account).GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	Expect(err).NotTo(HaveOccurred())
	return *out.PasswordPolicy
}

// iamSeverities are those that are not Medium.
var iamSeverities = map[string]v1alpha1.Severity{
	iamRootKeys: v1alpha1.SeverityCritical, iamRootMFA: v1alpha1.SeverityCritical, iamRoles: v1alpha1.SeverityCritical,
	iamUserMFA: v1alpha1.SeverityHigh,
}

// iamRow is a drift row of IAM, which is global.
func iamRow(control, resource, field, want, got string) v1alpha1.DriftRow {
	severity, ok := iamSeverities[control]
	if !ok {
		severity = v1alpha1.SeverityMedium
	}
	return v1alpha1.DriftRow{
		Control: control, Region: v1alpha1.GlobalRegion, Resource: resource, Field: field, Desired: want, Observed: got, Severity: severity,
	}
}

// because is the row with why it stands.
func because(row v1alpha1.DriftRow, reason, message string) v1alpha1.DriftRow {
	row.Reason, row.Message = reason, message
	return row
}

// awaitsApproval is the row of a change that waits for one.
func awaitsApproval(row v1alpha1.DriftRow) v1alpha1.DriftRow {
	return together(disruptiveWaits, row)[0]
}

// weakens is the row of a change that lowers security.
func weakens(row v1alpha1.DriftRow) v1alpha1.DriftRow {
	return together(weakeningWaits, row)[0]
}

// together are the rows of one change of several fields, whose message names them all and ends in why it waits.
func together(why string, rows ...v1alpha1.DriftRow) []v1alpha1.DriftRow {
	var parts []string
	for _, row := range rows {
		parts = append(parts, row.Field+" from "+contract.Bounded(row.Observed, 80)+" to "+contract.Bounded(row.Desired, 80))
	}
	message := contract.Bounded("would set "+strings.Join(parts, ", "), 300) + why
	for i := range rows {
		rows[i] = because(rows[i], v1alpha1.RowAwaitingApproval, message)
	}
	return rows
}

// Why a change waits: it may disrupt, or it lowers security.
const (
	disruptiveWaits = " (Disruptive); waits for an approval, or is applied with approval: Irreversible on the section"
	weakeningWaits  = " (weakens security); waits for an approval in every mode"
)

// audited is the row of a change that Enforce would make.
func audited(row v1alpha1.DriftRow, risk string) v1alpha1.DriftRow {
	return because(row, v1alpha1.RowAudit, inAuditMessage(risk))
}

// inAuditMessage is what a row says in Audit of a change of the risk.
func inAuditMessage(risk string) string {
	switch risk {
	case "Safe":
		return "would be changed with mode: Enforce (Safe)"
	case "weakens":
		return "mode: Enforce would propose the change (weakens security); it waits for an approval in every mode"
	}
	return "mode: Enforce would propose the change (" + risk + "); it then waits for an approval"
}

// reportOnly is the row of a departure that only a person can put right.
func reportOnly(row v1alpha1.DriftRow) v1alpha1.DriftRow {
	return because(row, v1alpha1.RowReportOnly, "Plumbline does not change this; see "+row.Control+" in docs/controls.md")
}

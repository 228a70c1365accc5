package iam

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

var (
	enabled = v1alpha1.ControlSpec{State: v1alpha1.Enabled}
	// trusting is the trust policy that the template makes, with the principal left open.
	trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"sts:AssumeRole",` +
		`"Condition":{"StringEquals":{"sts:ExternalId":"example"}}}]}`
	plumbline = "arn:aws:iam::" + controltest.Admin + ":role/plumbline"
)

// ago is a time that many days before the cases' now.
func ago(days int) time.Time { return controltest.Now.Add(-time.Duration(days) * 24 * time.Hour) }

func userARN(pathAndName string) string {
	return "arn:aws:iam::" + controltest.Account + ":user/" + pathAndName
}

// reportMade is when the credential report was made.
var reportMade = controltest.Now.Add(-2 * time.Hour)

// naming has events name resources, or resources depart before.
func naming(names ...string) func(*control.Target) {
	return func(t *control.Target) { t.Named = names }
}

// key is an access key of the stand-in.
type key struct {
	id            string
	status        types.StatusType
	created, used time.Time
}

// member is a user of the stand-in. Zero times stand for none.
type member struct {
	name, path             string
	password, passwordUsed time.Time
	devices                int
	keys                   []key
	policies               []string
}

func (m member) arn() string { return userARN(strings.TrimPrefix(m.path, "/") + m.name) }

// role is a role of the stand-in.
type role struct {
	trust            string
	path             string
	attached, inline []string
}

// account is IAM in one account, as AWS documents it.
type account struct {
	members []member
	// reported are the users as the credential report has them; nil: as they are.
	reported []member
	// report is the credential report; empty: made from the users when the case begins, and never made anew.
	report string
	// reportErrors are answered by GetCredentialReport before the report is, generate by GenerateCredentialReport.
	reportErrors []string
	generate     types.ReportStateType
	generateErr  error
	summary      map[string]int32
	// policies are documents by ARN.
	policies map[string]string
	roles    map[string]role
	virtual  []types.VirtualMFADevice
	password *types.PasswordPolicy
	// lockedOut are users that a boundary keeps from enrolling.
	lockedOut []string
}

func guardsInPlace() map[string]string {
	docs := map[string]string{}
	for _, g := range Guards {
		docs[GuardARN(g, "aws", controltest.Account)] = GuardDocument(g, "aws")
	}
	return docs
}

func ownRoles() map[string]role {
	trust := fmt.Sprintf(trusting, plumbline)
	return map[string]role{
		"PlumblineAudit": {trust: trust, attached: []string{
			"arn:aws:iam::111122223333:policy/plumbline/audit", "arn:aws:iam::111122223333:policy/plumbline/deny-data",
			"arn:aws:iam::111122223333:policy/plumbline/audit-iam",
		}},
		"PlumblineEnforce": {trust: trust, attached: []string{"arn:aws:iam::111122223333:policy/plumbline/enforce-iam"}},
	}
}

// stand is the state of one stage.
type stand struct {
	account
	users map[string]*member
}

func (a account) stage(c *cloudtest.Cloud) {
	s := &stand{account: a, users: map[string]*member{}}
	for _, m := range a.members {
		m.keys, m.policies = slices.Clone(m.keys), slices.Clone(m.policies)
		if m.path == "" {
			m.path = "/"
		}
		s.users[m.name] = &m
	}
	if s.roles == nil {
		s.roles = ownRoles()
	}
	if s.report == "" {
		s.report = reportOf(a.reported, a.members)
	}
	if a.password != nil {
		p := *a.password
		s.password = &p
	}
	s.handleReport(c)
	s.handleUsers(c)
	s.handleKeys(c)
	s.handleUserPolicies(c)
	s.handlePolicies(c)
	s.handleAccount(c)
	s.handleRoles(c)
	s.handlePasswordPolicy(c)
}

var gone = cloudtest.Error("NoSuchEntity", "it cannot be found")

func (s *stand) user(name *string) (*member, error) {
	if u := s.users[aws.ToString(name)]; u != nil {
		return u, nil
	}
	return nil, gone
}

// paged is one page of two.
func paged[T any](all []T, marker *string) (page []T, next *string, truncated bool) {
	from := 0
	_, _ = fmt.Sscan(aws.ToString(marker), &from)
	if to := from + 2; to < len(all) {
		return all[from:to], aws.String(fmt.Sprint(to)), true
	}
	return all[from:], nil, false
}

func reportOf(reported, members []member) string {
	if reported == nil {
		reported = members
	}
	head := "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active," +
		"access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service," +
		"access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service," +
		"cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated,additional_credentials_info,a_new_column\n"
	root := "<root_account>,arn:aws:iam::111122223333:root,2020-01-01T00:00:00+00:00,not_supported,no_information,not_supported," +
		"not_supported,true,true,2020-01-01T00:00:00+00:00,N/A,N/A,N/A,true,2020-01-01T00:00:00+00:00,N/A,N/A,N/A,false,N/A,false,N/A,,1\n"
	var out bytes.Buffer
	out.WriteString(head + root)
	w := csv.NewWriter(&out)
	for _, m := range reported {
		if m.path == "" {
			m.path = "/"
		}
		row := []string{
			m.name, m.arn(), date(ago(1000)), fmt.Sprint(!m.password.IsZero()), date(m.passwordUsed), date(m.password), "N/A",
			fmt.Sprint(m.devices > 0),
		}
		for i := range 2 {
			k := key{}
			if i < len(m.keys) {
				k = m.keys[i]
			}
			row = append(row, fmt.Sprint(k.status == "Active"), date(k.created), date(k.used), "N/A", "N/A")
		}
		more := ""
		if len(m.keys) > 2 {
			more = "1 more access key: ListAccessKeys"
		}
		_ = w.Write(append(row, "false", "N/A", "false", "N/A", more, "surprise"))
	}
	w.Flush()
	return out.String()
}

func date(at time.Time) string {
	if at.IsZero() {
		return "N/A"
	}
	return at.Format("2006-01-02T15:04:05+00:00")
}

func (s *stand) handleReport(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(cloudtest.Call, *iam.GetCredentialReportInput) (*iam.GetCredentialReportOutput, error) {
		if len(s.reportErrors) > 0 {
			code := s.reportErrors[0]
			if len(s.reportErrors) > 1 || code == "ReportInProgress" {
				s.reportErrors = s.reportErrors[1:]
			}
			return nil, cloudtest.Error(code, "there is no report")
		}
		return &iam.GetCredentialReportOutput{Content: []byte(s.report), GeneratedTime: aws.Time(reportMade)}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *iam.GenerateCredentialReportInput) (*iam.GenerateCredentialReportOutput, error) {
		if s.generateErr != nil {
			return nil, s.generateErr
		}
		if s.generate == types.ReportStateTypeComplete {
			s.reportErrors = nil
		}
		return &iam.GenerateCredentialReportOutput{State: s.generate}, nil
	})
}

func (s *stand) handleUsers(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
		var all []types.User
		for _, name := range slices.Sorted(maps.Keys(s.users)) {
			all = append(all, types.User{UserName: &name, Arn: aws.String(s.users[name].arn()), Path: &s.users[name].path})
		}
		out := &iam.ListUsersOutput{}
		out.Users, out.Marker, out.IsTruncated = paged(all, in.Marker)
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil {
			return nil, err
		}
		out := &types.User{UserName: in.UserName, Arn: aws.String(u.arn()), Path: &u.path, CreateDate: aws.Time(ago(1000))}
		if !u.passwordUsed.IsZero() {
			out.PasswordLastUsed = &u.passwordUsed
		}
		return &iam.GetUserOutput{User: out}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetLoginProfileInput) (*iam.GetLoginProfileOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil || u.password.IsZero() {
			return nil, gone
		}
		return &iam.GetLoginProfileOutput{LoginProfile: &types.LoginProfile{
			UserName: in.UserName, CreateDate: &u.password, PasswordResetRequired: true,
		}}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListMFADevicesInput) (*iam.ListMFADevicesOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil {
			return nil, err
		}
		out := &iam.ListMFADevicesOutput{}
		out.MFADevices, out.Marker, out.IsTruncated = paged(make([]types.MFADevice, u.devices), in.Marker)
		return out, nil
	})
}

func (s *stand) handleKeys(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil {
			return nil, err
		}
		var all []types.AccessKeyMetadata
		for _, k := range u.keys {
			all = append(all, types.AccessKeyMetadata{AccessKeyId: &k.id, CreateDate: &k.created, Status: k.status, UserName: in.UserName})
		}
		out := &iam.ListAccessKeysOutput{}
		out.AccessKeyMetadata, out.Marker, out.IsTruncated = paged(all, in.Marker)
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
		for name, u := range s.users {
			for _, k := range u.keys {
				if k.id != *in.AccessKeyId {
					continue
				}
				use := &types.AccessKeyLastUsed{Region: aws.String("N/A"), ServiceName: aws.String("N/A")}
				if !k.used.IsZero() {
					use.LastUsedDate, use.ServiceName = &k.used, aws.String("s3")
				}
				return &iam.GetAccessKeyLastUsedOutput{UserName: &name, AccessKeyLastUsed: use}, nil
			}
		}
		return nil, gone
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(u.keys, func(k key) bool { return k.id == *in.AccessKeyId })
		if i < 0 {
			return nil, gone
		}
		u.keys[i].status = in.Status
		return &iam.UpdateAccessKeyOutput{}, nil
	})
}

func (s *stand) handleUserPolicies(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil {
			return nil, err
		}
		var all []types.AttachedPolicy
		for _, p := range u.policies {
			all = append(all, types.AttachedPolicy{PolicyArn: aws.String(p)})
		}
		out := &iam.ListAttachedUserPoliciesOutput{}
		out.AttachedPolicies, out.Marker, out.IsTruncated = paged(all, in.Marker)
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil || s.policies[*in.PolicyArn] == "" {
			return nil, gone
		}
		if len(u.policies) >= 10 {
			return nil, cloudtest.Error("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")
		}
		if !slices.Contains(u.policies, *in.PolicyArn) {
			u.policies = append(u.policies, *in.PolicyArn)
		}
		return &iam.AttachUserPolicyOutput{}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
		u, err := s.user(in.UserName)
		if err != nil || !slices.Contains(u.policies, *in.PolicyArn) {
			return nil, gone
		}
		u.policies = slices.DeleteFunc(u.policies, func(p string) bool { return p == *in.PolicyArn })
		return &iam.DetachUserPolicyOutput{}, nil
	})
	cloudtest.Handle(c, s.simulate)
}

// simulate answers as the simulator does for the guard: allowed, unless a boundary stands in the way or the question is not
// the one that a user without MFA would ask.
func (s *stand) simulate(_ cloudtest.Call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	name := (*in.PolicySourceArn)[strings.LastIndex(*in.PolicySourceArn, "/")+1:]
	u, err := s.user(&name)
	if err != nil || u.arn() != *in.PolicySourceArn {
		return nil, gone
	}
	resource := map[string]string{
		"iam:CreateVirtualMFADevice": "arn:aws:iam::111122223333:mfa/" + name, "iam:EnableMFADevice": u.arn(),
	}
	context := map[string]string{}
	for _, e := range in.ContextEntries {
		context[*e.ContextKeyName] = string(e.ContextKeyType) + "=" + e.ContextKeyValues[0]
	}
	decision := types.PolicyEvaluationDecisionTypeAllowed
	if resource[in.ActionNames[0]] != in.ResourceArns[0] || context["aws:MultiFactorAuthPresent"] != "boolean=false" ||
		context["aws:ViaAWSService"] != "boolean=false" || context["aws:username"] != "string="+name ||
		!strings.Contains(in.PolicyInputList[0], "DenyUnlessMFA") || slices.Contains(s.lockedOut, name) {
		decision = types.PolicyEvaluationDecisionTypeImplicitDeny
	}
	return &iam.SimulatePrincipalPolicyOutput{EvaluationResults: []types.EvaluationResult{{
		EvalActionName: &in.ActionNames[0], EvalDecision: decision,
		ResourceSpecificResults: []types.ResourceSpecificResult{{EvalResourceDecision: decision, EvalResourceName: &in.ResourceArns[0]}},
	}}}, nil
}

func (s *stand) handlePolicies(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
		if s.policies[*in.PolicyArn] == "" {
			return nil, gone
		}
		var all []types.PolicyUser
		for _, name := range slices.Sorted(maps.Keys(s.users)) {
			if slices.Contains(s.users[name].policies, *in.PolicyArn) {
				all = append(all, types.PolicyUser{UserName: &name})
			}
		}
		out := &iam.ListEntitiesForPolicyOutput{}
		out.PolicyUsers, out.Marker, out.IsTruncated = paged(all, in.Marker)
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
		if s.policies[*in.PolicyArn] == "" {
			return nil, gone
		}
		return &iam.GetPolicyOutput{Policy: &types.Policy{Arn: in.PolicyArn, DefaultVersionId: aws.String("v2")}}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
		if s.policies[*in.PolicyArn] == "" || *in.VersionId != "v2" {
			return nil, gone
		}
		return &iam.GetPolicyVersionOutput{PolicyVersion: &types.PolicyVersion{
			IsDefaultVersion: true, VersionId: in.VersionId, Document: aws.String(url.PathEscape(s.policies[*in.PolicyArn])),
		}}, nil
	})
}

func (s *stand) handleAccount(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(cloudtest.Call, *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
		return &iam.GetAccountSummaryOutput{SummaryMap: s.summary}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
		out := &iam.ListVirtualMFADevicesOutput{}
		out.VirtualMFADevices, out.Marker, out.IsTruncated = paged(s.virtual, in.Marker)
		return out, nil
	})
}

func (s *stand) handleRoles(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
		r, ok := s.roles[*in.RoleName]
		if !ok {
			return nil, gone
		}
		arn := "arn:aws:iam::111122223333:role" + cmpOr(r.path, "/plumbline/") + *in.RoleName
		return &iam.GetRoleOutput{Role: &types.Role{Arn: &arn, AssumeRolePolicyDocument: aws.String(url.PathEscape(r.trust))}}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
		var all []types.AttachedPolicy
		for _, p := range s.roles[*in.RoleName].attached {
			all = append(all, types.AttachedPolicy{PolicyArn: aws.String(p)})
		}
		out := &iam.ListAttachedRolePoliciesOutput{}
		out.AttachedPolicies, out.Marker, out.IsTruncated = paged(all, in.Marker)
		return out, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
		out := &iam.ListRolePoliciesOutput{}
		out.PolicyNames, out.Marker, out.IsTruncated = paged(s.roles[*in.RoleName].inline, in.Marker)
		return out, nil
	})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// handlePasswordPolicy answers as AWS does: what an update leaves out goes back to its default, and 0 is refused.
func (s *stand) handlePasswordPolicy(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(cloudtest.Call, *iam.GetAccountPasswordPolicyInput) (*iam.GetAccountPasswordPolicyOutput, error) {
		if s.password == nil {
			return nil, gone
		}
		return &iam.GetAccountPasswordPolicyOutput{PasswordPolicy: s.password}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *iam.UpdateAccountPasswordPolicyInput) (*iam.UpdateAccountPasswordPolicyOutput, error) {
		for _, n := range []*int32{in.MaxPasswordAge, in.PasswordReusePrevention, in.MinimumPasswordLength} {
			if n != nil && *n < 1 {
				return nil, cloudtest.Error("ValidationError", "Member must have value greater than or equal to 1")
			}
		}
		s.password = &types.PasswordPolicy{
			MinimumPasswordLength: in.MinimumPasswordLength, PasswordReusePrevention: in.PasswordReusePrevention,
			MaxPasswordAge: in.MaxPasswordAge, HardExpiry: in.HardExpiry, ExpirePasswords: in.MaxPasswordAge != nil,
			RequireUppercaseCharacters: in.RequireUppercaseCharacters, RequireLowercaseCharacters: in.RequireLowercaseCharacters,
			RequireNumbers: in.RequireNumbers, RequireSymbols: in.RequireSymbols, AllowUsersToChangePassword: in.AllowUsersToChangePassword,
		}
		if in.MinimumPasswordLength == nil {
			s.password.MinimumPasswordLength = aws.Int32(6)
		}
		return &iam.UpdateAccountPasswordPolicyOutput{}, nil
	})
	cloudtest.Handle(c, func(cloudtest.Call, *iam.DeleteAccountPasswordPolicyInput) (*iam.DeleteAccountPasswordPolicyOutput, error) {
		if s.password == nil {
			return nil, gone
		}
		s.password = nil
		return &iam.DeleteAccountPasswordPolicyOutput{}, nil
	})
}

// report makes findings.

func reportOnly(resource, reason string, fields ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: resource, Risk: control.ReportOnly, Fields: fields}, Reason: reason}
}

func unknown(resource, reason string) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: resource}, Outcome: control.Unknown, Reason: reason}
}

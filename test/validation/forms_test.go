package validation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What is no form the schema allows is refused in the API server's own words; the field's description has an example.
func TestMalformedValuesAreRefused(t *testing.T) {
	cases := map[string]struct{ kind, spec, field, right string }{
		"an account id has twelve digits": {
			"S3Baseline", `{accounts: {include: ["11112222333"]}, secureTransport: {state: Enabled}}`, "spec.accounts.include[0]",
			`{accounts: {include: ["011122223333"]}, secureTransport: {state: Enabled}}`},
		"an account id is a string": {
			"AWSOrganization", `{managementAccount: 123456789012}`, "spec.managementAccount", `{managementAccount: "123456789012"}`},
		"an organization has a management account": {
			"AWSOrganization", `{regions: [eu-central-1]}`, "spec.managementAccount", `{managementAccount: "123456789012", regions: [eu-central-1]}`},
		"a region is written as AWS writes it": {
			"S3Baseline", `{regions: {exclude: [Frankfurt]}, secureTransport: {state: Enabled}}`, "spec.regions.exclude[0]",
			`{regions: {exclude: [us-gov-west-1]}, secureTransport: {state: Enabled}}`},
		"an empty list selects nothing": {
			"S3Baseline", `{accounts: {include: []}, secureTransport: {state: Enabled}}`, "spec.accounts.include",
			`{accounts: {include: ["111122223333"]}, secureTransport: {state: Enabled}}`},
		"a list names each value once": {
			"S3Baseline", `{regions: {include: [eu-west-1, eu-west-1]}, secureTransport: {state: Enabled}}`, "spec.regions.include[1]",
			`{regions: {include: [eu-west-1, eu-west-2]}, secureTransport: {state: Enabled}}`},
		"an OU is named by its id": {
			"S3Baseline", `{accounts: {organizationalUnits: [Workloads]}, secureTransport: {state: Enabled}}`, "spec.accounts.organizationalUnits[0]",
			`{accounts: {organizationalUnits: [ou-abcd-11112222, r-abcd]}, secureTransport: {state: Enabled}}`},
		"a mode is Audit or Enforce": {
			"S3Baseline", `{mode: Approve, secureTransport: {state: Enabled}}`, "spec.mode", `{mode: Audit, secureTransport: {state: Enabled}}`},
		"a state is no boolean": {
			"S3Baseline", `{secureTransport: {state: true}}`, "spec.secureTransport.state", `{secureTransport: {state: Enabled}}`},
		"a KMS alias begins with alias/": {
			"EncryptionBaseline", `{ebsDefault: {state: Enabled, kmsKey: baseline}}`, "spec.ebsDefault.kmsKey", `{ebsDefault: {state: Enabled, kmsKey: alias/baseline}}`},
		"a KMS alias is no ARN of an alias": {
			"S3Baseline", `{defaultEncryption: {state: Enabled, algorithm: "aws:kms", kmsKey: "arn:aws:kms:eu-central-1:111122223333:alias/baseline"}}`, "spec.defaultEncryption.kmsKey",
			`{defaultEncryption: {state: Enabled, algorithm: "aws:kms", kmsKey: "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234"}}`},
		"a trail's key is no alias": {
			"CloudTrailBaseline", trail + `, encryption: {state: Enabled, kmsKeyARN: alias/trail}}`, "spec.encryption.kmsKeyARN",
			trail + `, encryption: {state: Enabled, kmsKeyARN: ` + trailKey + `}}`},
		"a trail's name is AWS's": {
			"CloudTrailBaseline", strings.Replace(trail, "org-trail", "org--trail", 1) + `}`, "spec.organizationTrail.name", trail + `}`},
		"a TLS version is a string": {
			"S3Baseline", `{secureTransport: {state: Enabled, minimumTLSVersion: 1.2}}`, "spec.secureTransport.minimumTLSVersion",
			`{secureTransport: {state: Enabled, minimumTLSVersion: "1.2"}}`},
		"AWS's values keep AWS's spelling": {
			"GuardDutyBaseline", `{organization: {state: Enabled, autoEnable: All}}`, "spec.organization.autoEnable", `{organization: {state: Enabled, autoEnable: ALL}}`},
		"a duration has units": {
			"S3Baseline", `{interval: "3600", secureTransport: {state: Enabled}}`, "spec.interval", `{interval: 1h30m, secureTransport: {state: Enabled}}`},
		"a duration is one that can be counted": {
			"S3Baseline", `{interval: 999999999999h, secureTransport: {state: Enabled}}`, "spec.interval", `{interval: 3600s, secureTransport: {state: Enabled}}`},
		"a password has at most 128 characters": {
			"IAMBaseline", `{passwordPolicy: {state: Enabled, minimumLength: 129}}`, "spec.passwordPolicy.minimumLength", `{passwordPolicy: {state: Enabled, minimumLength: 128}}`},
		"no days of grace are days of grace": {
			"IAMBaseline", `{accessKeyAge: {state: Enabled, graceDays: -1}}`, "spec.accessKeyAge.graceDays", `{accessKeyAge: {state: Enabled, graceDays: 0, protectUsedWithinDays: 0}}`},
		"a user path ends with a slash": {
			"IAMBaseline", `{users: {excludePaths: [/emergency]}, rootMFA: {state: Enabled}}`, "spec.users.excludePaths[0]", `{users: {excludePaths: [/emergency/]}, rootMFA: {state: Enabled}}`},
		"a control is named by its id": {
			"BaselineException", `{controls: [S3 default encryption], ` + at + `, ` + who + `, ` + when + `}`, "spec.controls[0]", `{` + what + `, ` + at + `, ` + who + `, ` + when + `}`},
		"a moment is RFC 3339": {
			"BaselineException", `{` + what + `, ` + at + `, ` + who + `, from: "2026-01-01", expires: "2026-03-01T00:00:00Z"}`, "spec.from", `{` + what + `, ` + at + `, ` + who + `, ` + when + `}`},
		"a baseline has a spec": {"IAMBaseline", "", "spec", `{rootMFA: {state: Enabled}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := strict.Create(context.Background(), manifest(t, c.kind, "example", c.spec), client.DryRunAll)
			if fields := fieldsOf(err); !apierrors.IsInvalid(err) || !slices.Contains(fields, c.field) {
				t.Errorf("%s should be refused; refused are %v: %v", c.field, fields, err)
			}
			if err != nil && strings.Contains(err.Error(), "evaluating rule") {
				t.Errorf("a rule stumbles over what another has refused: %v", err)
			}
			accept(t, manifest(t, c.kind, "example", c.right))
		})
	}
}

func TestARoleOfAnAccountIsAnARN(t *testing.T) {
	err := strict.Create(context.Background(), manifest(t, "AWSAccount", "111122223333", `{roles: {audit: plumbline/PlumblineAudit}}`), client.DryRunAll)
	if diff := cmp.Diff([]string{"spec.roles.audit"}, fieldsOf(err)); diff != "" {
		t.Errorf("a role's name in place of its ARN is refused for (-want +got):\n%s\n%v", diff, err)
	}
}

func TestTyposAreRefused(t *testing.T) {
	cases := map[string]struct{ kind, spec, says string }{
		"a section":          {"S3Baseline", `{defaultEncrytpion: {state: Enabled}, secureTransport: {state: Enabled}}`, `unknown field "spec.defaultEncrytpion"`},
		"a common field":     {"S3Baseline", `{account: {all: true}, secureTransport: {state: Enabled}}`, `unknown field "spec.account"`},
		"a setting":          {"IAMBaseline", `{passwordPolicy: {state: Enabled, minLength: 14}}`, `unknown field "spec.passwordPolicy.minLength"`},
		"a flag":             {"S3Baseline", `{accountPublicAccessBlock: {state: Enabled, blockPublicACLs: Enabled}}`, `unknown field "spec.accountPublicAccessBlock.blockPublicACLs"`},
		"a setting too deep": {"GuardDutyBaseline", `{features: {state: Enabled, runtimeMonitoring: {state: Enabled, eksAddOnManagement: Enabled}}}`, `unknown field "spec.features.runtimeMonitoring.eksAddOnManagement"`},
		"AWS's own name":     {"S3Baseline", `{buckets: {include: [a-*]}, objectLock: {state: Enabled, years: 1}}`, `unknown field "spec.objectLock.years"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := strict.Create(context.Background(), manifest(t, c.kind, "example", c.spec), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want a refusal that says %s, got: %v", c.says, err)
			}
		})
	}
}

// fieldsOf are the fields that a refusal names.
func fieldsOf(err error) []string {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range status.ErrStatus.Details.Causes {
		fields = append(fields, cause.Field)
	}
	return fields
}

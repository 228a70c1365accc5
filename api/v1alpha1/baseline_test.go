package v1alpha1

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// kinds are all kinds of this package that have a spec.
func kinds(t *testing.T) map[string]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	all := map[string]runtime.Object{}
	for kind := range scheme.KnownTypes(GroupVersion) {
		object, err := scheme.New(GroupVersion.WithKind(kind))
		if err != nil {
			t.Fatal(err)
		}
		if _, found := reflect.TypeOf(object).Elem().FieldByName("Spec"); found {
			all[kind] = object
		}
	}
	return all
}

type commoner interface {
	Common() (*BaselineSpec, *BaselineStatus)
}

// jsonNames are the JSON names of a struct's own fields, without those of embedded structs.
func jsonNames(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		if name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// repeated are the names that stand twice among a struct's own fields and those of the structs it embeds. Go would let the
// outer win without a word, and the YAML could never set the inner.
func repeated(of reflect.Type) []string {
	seen, twice := map[string]bool{}, []string{}
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		for _, name := range jsonNames(of) {
			if seen[name] {
				twice = append(twice, name)
			}
			seen[name] = true
		}
		for i := range of.NumField() {
			if f := of.Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct {
				visit(f.Type)
			}
		}
	}
	visit(of)
	return twice
}

func TestNoFieldIsNamedLikeACommonField(t *testing.T) {
	for kind, object := range kinds(t) {
		spec, _ := reflect.TypeOf(object).Elem().FieldByName("Spec")
		if names := repeated(spec.Type); len(names) > 0 {
			t.Errorf("%s.spec has two fields named %v", kind, names)
		}
		for _, field := range reflect.VisibleFields(spec.Type) {
			if field.Type.Kind() != reflect.Pointer || field.Type.Elem().Kind() != reflect.Struct {
				continue
			}
			if names := repeated(field.Type.Elem()); len(names) > 0 {
				t.Errorf("%s.spec.%s has two fields named %v", kind, field.Name, names)
			}
		}
	}
}

func TestRepeatedSeesWhatGoHides(t *testing.T) {
	type hidden struct {
		ControlSpec `json:",inline"`
		Mode        string `json:"mode,omitempty"`
	}
	if diff := cmp.Diff([]string{"mode"}, repeated(reflect.TypeFor[hidden]())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryBaselineKindHasSectionsOnly(t *testing.T) {
	common := map[string]bool{"BaselineSpec": true}
	selectors := map[string]bool{"Buckets": true, "Users": true}
	found := 0
	for kind, object := range kinds(t) {
		baseline, ok := object.(commoner)
		if !ok {
			continue
		}
		found++
		spec, status := baseline.Common()
		if spec == nil || status == nil {
			t.Errorf("%s.Common() returns nil", kind)
		}
		of, _ := reflect.TypeOf(object).Elem().FieldByName("Spec")
		for i := range of.Type.NumField() {
			field := of.Type.Field(i)
			if common[field.Name] || selectors[field.Name] {
				continue
			}
			section, ok := reflect.Zero(field.Type).Interface().(interface{ Section() ControlSpec })
			if !ok || field.Type.Kind() != reflect.Pointer {
				t.Errorf("%s.spec.%s is no pointer to a section (%T)", kind, field.Name, section)
			}
		}
	}
	if found != 5 {
		t.Errorf("%d baseline kinds are registered, want 5", found)
	}
}

func TestSectionsInheritFromTheirBaseline(t *testing.T) {
	tests := map[string]struct {
		baseline BaselineSpec
		section  ControlSpec
		mode     Mode
		approval Approval
	}{
		"nothing said: Audit, and Disruptive changes wait": {mode: ModeAudit, approval: ApprovalDisruptive},
		"the baseline says": {
			baseline: BaselineSpec{Mode: ModeEnforce, Approval: ApprovalAll}, mode: ModeEnforce, approval: ApprovalAll},
		"the section says otherwise": {
			baseline: BaselineSpec{Mode: ModeEnforce, Approval: ApprovalAll},
			section:  ControlSpec{Mode: ModeAudit, Approval: ApprovalIrreversible}, mode: ModeAudit, approval: ApprovalIrreversible},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.baseline.EffectiveMode(test.section); got != test.mode {
				t.Errorf("mode %s, want %s", got, test.mode)
			}
			if got := test.baseline.EffectiveApproval(test.section); got != test.approval {
				t.Errorf("approval %s, want %s", got, test.approval)
			}
		})
	}
}

func TestAbsentFieldsHaveTheirDocumentedDefaults(t *testing.T) {
	none := int32(0)
	tests := map[string]struct{ got, want any }{
		"interval":                             {(&BaselineSpec{}).ObserveEvery(false), time.Hour},
		"resourceInterval":                     {(&BaselineSpec{}).ObserveEvery(true), 24 * time.Hour},
		"organization interval":                {(&AWSOrganizationSpec{}).DiscoverEvery(), 15 * time.Minute},
		"enforceNewAccountsAfter":              {(&AWSOrganizationSpec{}).EnforceAfter(), 24 * time.Hour},
		"enforceNewAccountsAfter 0s":           {(&AWSOrganizationSpec{EnforceNewAccountsAfter: &metav1.Duration{}}).EnforceAfter(), time.Duration(0)},
		"partition":                            {(&AWSOrganizationSpec{}).PartitionOrDefault(), "aws"},
		"readFrom":                             {(&AWSOrganizationSpec{ManagementAccount: "123456789012"}).ReadFromOrDefault(), "123456789012"},
		"create":                               {OrganizationTrail{}.CreateOrDefault(), CreateNever},
		"log group without a star":             {TrailCloudWatchLogs{LogGroupARN: "arn:x"}.LogGroupARNWithStar(), "arn:x:*"},
		"log group with its star":              {TrailCloudWatchLogs{LogGroupARN: "arn:x:*"}.LogGroupARNWithStar(), "arn:x:*"},
		"no log group":                         {TrailCloudWatchLogs{}.LogGroupARNWithStar(), ""},
		"blockPublicAcls":                      {AccountPublicAccessBlock{}.BlockPublicACLsOrDefault(), Enabled},
		"ignorePublicAcls":                     {AccountPublicAccessBlock{}.IgnorePublicACLsOrDefault(), Enabled},
		"blockPublicPolicy":                    {BucketPublicAccessBlock{}.BlockPublicPolicyOrDefault(), Enabled},
		"restrictPublicBuckets":                {BucketPublicAccessBlock{}.RestrictPublicBucketsOrDefault(), Enabled},
		"a flag that is off":                   {PublicAccessBlockFlags{BlockPublicPolicy: Disabled}.BlockPublicPolicyOrDefault(), Disabled},
		"requireOnBucket":                      {BucketPublicAccessBlock{}.RequireOnBucketOrDefault(), Disabled},
		"algorithm":                            {DefaultEncryption{}.AlgorithmOrDefault(), AlgorithmAES256},
		"bucketKey with AES256 is unmanaged":   {DefaultEncryption{}.BucketKeyOrDefault(), State("")},
		"bucketKey with KMS":                   {DefaultEncryption{Algorithm: AlgorithmKMS}.BucketKeyOrDefault(), Enabled},
		"bucketKey with KMS that is off":       {DefaultEncryption{Algorithm: AlgorithmKMS, BucketKey: Disabled}.BucketKeyOrDefault(), Disabled},
		"bucketKey with DSSE is unmanaged":     {DefaultEncryption{Algorithm: AlgorithmDSSE}.BucketKeyOrDefault(), State("")},
		"minimumTLSVersion":                    {SecureTransport{}.MinimumTLSVersionOrDefault(), TLS12},
		"object ownership":                     {ObjectOwnership{}.RuleOrDefault(), OwnershipEnforced},
		"root MFA device":                      {RootMFA{}.DeviceOrDefault(), MFADeviceAny},
		"MFA guard":                            {UserMFA{}.GuardOrDefault(), MFAGuardNone},
		"grace period":                         {UserMFA{}.GracePeriodOrDefault(), 168 * time.Hour},
		"grace period 0h":                      {UserMFA{GracePeriod: &metav1.Duration{}}.GracePeriodOrDefault(), time.Duration(0)},
		"minimumLength":                        {PasswordPolicy{}.MinimumLengthOrDefault(), int32(14)},
		"reusePrevention":                      {PasswordPolicy{}.ReusePreventionOrDefault(), int32(24)},
		"accessKeyAge maxDays":                 {AccessKeyAge{}.MaxDaysOrDefault(), int32(90)},
		"accessKeyAge action":                  {AccessKeyAge{}.ActionOrDefault(), KeyAgeReport},
		"accessKeyAge graceDays":               {AccessKeyAge{}.GraceDaysOrDefault(), int32(14)},
		"accessKeyAge graceDays 0":             {AccessKeyAge{GraceDays: &none}.GraceDaysOrDefault(), int32(0)},
		"accessKeyAge protectUsedWithinDays":   {AccessKeyAge{}.ProtectUsedWithinDaysOrDefault(), int32(30)},
		"accessKeyAge protectUsedWithinDays 0": {AccessKeyAge{ProtectUsedWithinDays: &none}.ProtectUsedWithinDaysOrDefault(), int32(0)},
		"unusedCredentials maxDays":            {UnusedCredentials{}.MaxDaysOrDefault(), int32(45)},
		"unusedCredentials action":             {UnusedCredentials{}.ActionOrDefault(), UnusedReport},
		"unusedCredentials graceDays":          {UnusedCredentials{}.GraceDaysOrDefault(), int32(14)},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

package validation

import (
	"reflect"
	"strings"
	"testing"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// A section describes one section of a baseline kind: the least manifests with it, and what cannot be said of it.
type section struct {
	least      string // the least spec that declares it
	off        string // the least spec that turns it off; empty where it cannot be turned off
	because    string // why it cannot be turned off, and what to write instead
	ownConsent bool   // of the organization: may be enforced without accounts
}

const leaveOut = "; leave the section out"

var sections = map[string]map[string]section{
	"GuardDutyBaseline": {
		"detector": {least: `{detector: {state: Enabled}}`, off: `{detector: {state: Disabled}}`},
		"features": {least: `{features: {state: Enabled, s3DataEvents: Enabled}}`, because: "each plan in it says Enabled or Disabled" + leaveOut},
		"organization": {least: `{organization: {state: Enabled, autoEnable: NEW}}`, ownConsent: true,
			because: "write autoEnable: NONE to let GuardDuty enable no account by itself, or leave the section out"},
	},
	"CloudTrailBaseline": {
		"organizationTrail": {
			least:      `{organizationTrail: {state: Enabled, name: org-trail, homeRegion: eu-central-1, bucket: {name: acme-log-archive}}}`,
			off:        `{organizationTrail: {state: Disabled, name: org-trail, homeRegion: eu-central-1}}`,
			ownConsent: true,
		},
		"logFileValidation": {
			least:      trail + `, logFileValidation: {state: Enabled}}`,
			off:        trail + `, logFileValidation: {state: Disabled}}`,
			ownConsent: true,
		},
		"encryption": {
			least:      trail + `, encryption: {state: Enabled, kmsKeyARN: "arn:aws:kms:eu-central-1:222233334444:key/1234abcd"}}`,
			off:        trail + `, encryption: {state: Disabled}}`,
			ownConsent: true,
		},
		"cloudWatchLogs": {
			least:      trail + `, cloudWatchLogs: {state: Enabled, logGroupARN: "arn:aws:logs:eu-central-1:123456789012:log-group:org-trail:*", roleARN: "arn:aws:iam::123456789012:role/logs"}}`,
			off:        trail + `, cloudWatchLogs: {state: Disabled}}`,
			ownConsent: true,
		},
	},
	"S3Baseline": {
		"accountPublicAccessBlock": {least: `{accountPublicAccessBlock: {state: Enabled}}`, because: "each of its four flags says Enabled or Disabled" + leaveOut},
		"bucketPublicAccessBlock":  {least: `{bucketPublicAccessBlock: {state: Enabled}}`, because: "each of its four flags says Enabled or Disabled" + leaveOut},
		"defaultEncryption":        {least: `{defaultEncryption: {state: Enabled}}`, because: "S3 always encrypts" + leaveOut},
		"secureTransport":          {least: `{secureTransport: {state: Enabled}}`, off: `{secureTransport: {state: Disabled}}`},
		"versioning":               {least: `{buckets: {include: [a-*]}, versioning: {state: Enabled}}`, off: `{buckets: {include: [a-*]}, versioning: {state: Disabled}}`},
		"objectLock":               {least: `{buckets: {include: [a-*]}, objectLock: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"objectOwnership":          {least: `{objectOwnership: {state: Enabled}}`, because: "every bucket has an ownership rule" + leaveOut},
	},
	"IAMBaseline": {
		"rootAccessKeys":    {least: `{rootAccessKeys: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"rootMFA":           {least: `{rootMFA: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"userMFA":           {least: `{userMFA: {state: Enabled}}`, because: "MFA is never taken away" + leaveOut},
		"passwordPolicy":    {least: `{passwordPolicy: {state: Enabled}}`, because: "an account without one falls back to AWS's weaker default" + leaveOut},
		"accessKeyAge":      {least: `{accessKeyAge: {state: Enabled}}`, because: "it declares a limit, not a switch" + leaveOut},
		"unusedCredentials": {least: `{unusedCredentials: {state: Enabled}}`, because: "it declares a limit, not a switch" + leaveOut},
		"singleAccessKey":   {least: `{singleAccessKey: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"plumblineRoles":    {least: `{plumblineRoles: {state: Enabled}}`, because: "it only reports" + leaveOut},
	},
	"EncryptionBaseline": {
		"ebsDefault":  {least: `{ebsDefault: {state: Enabled}}`, off: `{ebsDefault: {state: Disabled}}`},
		"ebsVolumes":  {least: `{ebsVolumes: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"rdsStorage":  {least: `{rdsStorage: {state: Enabled}}`, because: "it only reports" + leaveOut},
		"kmsRotation": {least: `{kmsRotation: {state: Enabled}}`, off: `{kmsRotation: {state: Disabled}}`},
	},
}

// trail opens a CloudTrailBaseline's spec with the trail that the other sections need.
const trail = `{organizationTrail: {state: Enabled, name: org-trail, homeRegion: eu-central-1, bucket: {name: acme-log-archive}}`

// A baseline is what all baseline kinds are.
type baseline interface {
	Common() (*v1alpha1.BaselineSpec, *v1alpha1.BaselineStatus)
}

var baselines = []baseline{
	&v1alpha1.GuardDutyBaseline{},
	&v1alpha1.CloudTrailBaseline{},
	&v1alpha1.S3Baseline{},
	&v1alpha1.IAMBaseline{},
	&v1alpha1.EncryptionBaseline{},
}

func kindOf(b baseline) string { return reflect.TypeOf(b).Elem().Name() }

// sectionsOf reads the names of a kind's sections from its Go type: pointers to what has a Section.
func sectionsOf(b baseline) []string {
	spec := reflect.TypeOf(b).Elem()
	field, _ := spec.FieldByName("Spec")
	var names []string
	for _, f := range reflect.VisibleFields(field.Type) {
		if f.Type.Kind() != reflect.Pointer {
			continue
		}
		if _, ok := reflect.New(f.Type.Elem()).Interface().(interface{ Section() v1alpha1.ControlSpec }); ok {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// everySection makes the cases that every section of every kind has.
func everySection(t *testing.T) []refusal {
	t.Helper()
	var cases []refusal
	for _, b := range baselines {
		for _, name := range sectionsOf(b) {
			s, known := sections[kindOf(b)][name]
			if !known {
				t.Errorf("%s has a section %s that this test does not know; describe it in sections", kindOf(b), name)
				continue
			}
			cases = append(cases, s.cases(t, kindOf(b), name)...)
		}
	}
	return cases
}

func (s section) cases(t *testing.T, kind, name string) []refusal {
	t.Helper()
	least := manifest(t, kind, "example", s.least)
	without := least.DeepCopy()
	remove(without.Object, "spec", name, "state")
	states := "state: Enabled or state: Disabled"
	if s.off == "" {
		states = "state: Enabled"
	}
	cases := []refusal{{
		name:     kind + ": " + name + " needs a state",
		object:   without,
		sentence: name + " needs state: write " + states + ", or leave " + name + " out to keep it unmanaged",
		right:    least,
	}}
	if s.off != "" {
		cases = append(cases, refusal{name: kind + ": " + name + " can be Disabled", right: manifest(t, kind, "example", s.off)})
	} else {
		off := least.DeepCopy()
		set(off.Object, "Disabled", "spec", name, "state")
		cases = append(cases, refusal{
			name:     kind + ": " + name + " cannot be Disabled",
			object:   off,
			sentence: name + " cannot be Disabled: " + s.because,
		})
	}
	return append(cases, s.enforced(least, kind, name)...)
}

// enforced are the cases about mode: Enforce, on the section and on the baseline.
func (s section) enforced(least manifestObject, kind, name string) []refusal {
	var cases []refusal
	for where, path := range map[string][]string{"on the section": {"spec", name, "mode"}, "on the baseline": {"spec", "mode"}} {
		enforced := least.DeepCopy()
		set(enforced.Object, "Enforce", path...)
		if s.ownConsent {
			cases = append(cases, refusal{name: kind + ": Enforce of " + name + " " + where + " is its own consent", right: enforced})
			continue
		}
		selected := enforced.DeepCopy()
		set(selected.Object, true, "spec", "accounts", "all")
		subject := "mode: Enforce"
		if kind == "GuardDutyBaseline" {
			subject = "mode: Enforce of detector or features"
		}
		cases = append(cases, refusal{
			name:     kind + ": Enforce of " + name + " " + where + " needs accounts",
			object:   enforced,
			sentence: subject + " needs accounts: name organizationalUnits, matchLabels or include, or write accounts: {all: true}",
			right:    selected,
		})
	}
	return cases
}

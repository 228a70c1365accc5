package s3

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	roles  = `{"Sid":"","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::1:root","arn:aws:iam::2:root"]},"Action":["s3:GetObject"],"Resource":"arn:aws:s3:::a/*","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":3600}}}`
	byAWS  = `{"Sid":"PlumblineSecureTransport","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::a/*","arn:aws:s3:::a"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
	tls13  = `{"Sid":"PlumblineTLSVersion","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::a","arn:aws:s3:::a/*"],"Condition":{"NumericLessThan":{"s3:TlsVersion":"1.3"}}}`
	dulled = `{"Sid":"PlumblineSecureTransport","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::a","arn:aws:s3:::a/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
)

func policyOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func TestSecureTransport(t *testing.T) {
	section := func(spec v1alpha1.ControlSpec, version v1alpha1.TLSVersion) PerBucket[v1alpha1.SecureTransport] {
		return PerBucket[v1alpha1.SecureTransport]{Want: v1alpha1.SecureTransport{ControlSpec: spec, MinimumTLSVersion: version}}
	}
	on, newest, off := section(enabled, ""), section(enabled, v1alpha1.TLS13), section(disabled, "")
	tagged := on
	tagged.Buckets = &v1alpha1.BucketSelector{MatchTags: map[string]string{"data": "secret"}}
	with := func(policy string) func(*cloudtest.Cloud) {
		return world{buckets: []store{{name: "a", region: here, policy: policy}}}.stage
	}
	plain := control.Field{Path: "secureTransport", Want: "Enabled", Got: "Disabled"}
	version := control.Field{Path: "minimumTLSVersion", Want: "1.3", Got: "1.2"}
	plainOff := control.Field{Path: "secureTransport", Want: "Disabled", Got: "Enabled"}
	versionOff := control.Field{Path: "minimumTLSVersion", Want: "1.2", Got: "1.3"}
	hindered := func(reason string) control.Finding {
		f := drift("a", control.ReportOnly, plain)
		f.Reason = reason
		return f
	}

	controltest.Run(t, SecureTransport, []controltest.Case[PerBucket[v1alpha1.SecureTransport]]{
		{
			Name: "a statement of the same meaning suffices, whoever wrote it", Want: tagged,
			AWS: world{buckets: []store{{name: "a", region: here, policy: onlyTLS("a"), tags: tagged.Buckets.MatchTags}, {name: "b", region: here}}}.stage,
		},
		{
			Name: "a bucket without a policy is given one; undoing takes it away again", Want: on,
			AWS: world{buckets: []store{{name: "a", region: here, tags: ofStack}}}.stage, Owner: theStack,
			Findings: []control.Finding{drift("a", control.Disruptive, plain)},
		},
		{
			Name: "a policy keeps its other statements, in whatever order S3 answers their principals", Want: on,
			AWS: with(policyOf(roles)), Findings: []control.Finding{drift("a", control.Disruptive, plain)},
		},
		{
			Name: "an own statement that somebody changed is put right", Want: on,
			AWS: with(policyOf(roles, dulled)), Findings: []control.Finding{drift("a", control.Disruptive, plain)},
		},
		{Name: "the own statement is compliant in whatever order S3 answers it", Want: on, AWS: with(policyOf(roles, byAWS))},
		{
			Name: "TLS 1.3 needs a statement of its own beside that about plain HTTP", Want: newest,
			AWS: with(onlyTLS("a")), Findings: []control.Finding{drift("a", control.Disruptive, version)},
		},
		{
			Name: "TLS 1.3 where nothing is yet is one change", Want: newest,
			AWS: with(policyOf(roles)), Findings: []control.Finding{drift("a", control.Disruptive, plain, version)},
		},
		{
			Name: "from TLS 1.3 to 1.2 the own statement goes, which weakens", Want: on,
			AWS: with(policyOf(byAWS, tls13)), Findings: []control.Finding{weakening(drift("a", control.Disruptive, versionOff))},
		},
		{
			Name: "one own statement comes and another goes: two changes, of which the one that weakens keeps the other from nothing", Want: on,
			AWS: with(policyOf(roles, tls13)), Findings: []control.Finding{
				drift("a", control.Disruptive, plain), weakening(drift("a", control.Disruptive, versionOff)),
			},
		},
		{Name: "Disabled leaves the statements of others", Want: off, AWS: with(onlyTLS("a"))},
		{
			Name: "Disabled takes only the own statements away", Want: off,
			AWS: with(policyOf(roles, byAWS, tls13)), Findings: []control.Finding{weakening(drift("a", control.Disruptive, plainOff, versionOff))},
		},
		{
			Name: "Disabled takes the policy away where nothing else is left of it", Want: off,
			AWS: with(policyOf(byAWS)), Findings: []control.Finding{weakening(drift("a", control.Disruptive, plainOff))},
		},
		{
			Name: "a public policy that blockPublicPolicy of the account guards is reported and not changed", Want: on,
			AWS:      world{block: &allFlags, buckets: []store{{name: "a", region: here, policy: policyOf(roles), public: true}}}.stage,
			Findings: []control.Finding{hindered(reasonPublicPolicy)},
		},
		{
			Name: "a public policy that blockPublicPolicy of the bucket guards is reported and not changed", Want: on,
			AWS:      world{buckets: []store{{name: "a", region: here, policy: policyOf(roles), public: true, block: &allFlags}}}.stage,
			Findings: []control.Finding{hindered(reasonPublicPolicy)},
		},
		{
			Name: "a public policy that nothing guards is changed", Want: on,
			AWS:      world{buckets: []store{{name: "a", region: here, policy: policyOf(roles), public: true}}}.stage,
			Findings: []control.Finding{drift("a", control.Disruptive, plain)},
		},
		{
			Name: "a policy that has no room left is reported and not changed", Want: on,
			AWS:      with(policyOf(strings.Replace(roles, `"s3:GetObject"`, `"s3:GetObject`+strings.Repeat("*", policyLimit-300)+`"`, 1))),
			Findings: []control.Finding{hindered(reasonPolicyTooLarge)},
		},
		{
			Name: "a document that cannot be read is no answer", Want: on, AWS: with(`{"Statement":[{"Effect":7}]}`),
			Findings: []control.Finding{unknown("a", control.ReasonUnexpectedData)},
		},
	})
}

// Between look and write somebody else may write: then nothing is written, and their statement is not lost.
func TestSecureTransportRefusesAChangedPolicy(t *testing.T) {
	ctx := context.Background()
	w := &world{buckets: []store{{name: "a", region: here, policy: policyOf(roles)}}}
	c := &cloudtest.Cloud{}
	w.stage(c)
	target := func(c *cloudtest.Cloud) *control.Target {
		return control.NewTarget(control.Target{Account: accountID, Partition: "aws", Region: here}, c.Connector(accountID), SecureTransport.Actions(), nil, nil)
	}
	want := PerBucket[v1alpha1.SecureTransport]{Want: v1alpha1.SecureTransport{ControlSpec: enabled}}
	found, err := SecureTransport.Observe(ctx, target(c), want)
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if text := string(found[0].Before) + string(found[0].After); strings.Contains(text, "iam::1:root") {
		t.Errorf("the drift records the statements of others: %s", text)
	}
	other := &cloudtest.Cloud{}
	world{buckets: []store{{name: "a", region: here, policy: policyOf(roles, strings.Replace(roles, "GetObject", "PutObject", 1))}}}.stage(other)
	if err := SecureTransport.Remediate(ctx, target(other), found[0].Drift); !errors.Is(err, errPolicyChanged) {
		t.Errorf("got %v, want %v", err, errPolicyChanged)
	}
	for _, call := range other.Calls() {
		if call.Action == "s3:PutBucketPolicy" {
			t.Error("the policy was written")
		}
	}
}

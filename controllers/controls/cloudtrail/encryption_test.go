package cloudtrail

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

func TestEncryption(t *testing.T) {
	with := func(s v1alpha1.State, key string) On[v1alpha1.TrailEncryption] {
		return On[v1alpha1.TrailEncryption]{
			Trail: orgTrail, Setting: v1alpha1.TrailEncryption{ControlSpec: v1alpha1.ControlSpec{State: s}, KMSKeyARN: key},
		}
	}
	keyed := func(key *string) func(*fakeTrail) { return func(t *fakeTrail) { t.KmsKeyId = key } }
	old := "arn:aws:kms:eu-central-1:222233334444:key/old"

	controltest.Run(t, Encryption, []controltest.Case[On[v1alpha1.TrailEncryption]]{
		{
			Name: "the declared key is compliant", Want: with(v1alpha1.Enabled, keyARN),
			AWS: stage(trailLike(trailARN, keyed(aws.String(keyARN)))),
		},
		{
			Name: "no key where one is declared drifts, and setting it is Disruptive", Want: with(v1alpha1.Enabled, keyARN),
			AWS:      stage(trailLike(trailARN, keyed(nil))),
			Findings: []control.Finding{drift(control.Disruptive, field("kmsKeyARN", keyARN, "none"))},
		},
		{
			Name: "another key drifts", Want: with(v1alpha1.Enabled, keyARN), Target: asManagement,
			AWS:      stage(trailLike(trailARN, ofStack(keyed(&old)))),
			Owner:    theStack,
			Findings: []control.Finding{drift(control.Disruptive, field("kmsKeyARN", keyARN, old))},
		},
		{
			Name: "a key whose policy keeps CloudTrail out is refused by AWS", Want: with(v1alpha1.Enabled, badKey),
			AWS:      stage(trailLike(trailARN, keyed(&old))),
			Findings: []control.Finding{drift(control.Disruptive, field("kmsKeyARN", badKey, old))},
			Refused:  true,
		},
		{
			Name: "a key where none must be drifts, and taking it away is Disruptive", Want: with(v1alpha1.Disabled, ""),
			AWS:      stage(trailLike(trailARN, keyed(&old))),
			Findings: []control.Finding{drift(control.Disruptive, field("kmsKeyARN", "none", old))},
		},
		{
			Name: "no key, answered as an empty string, is no key", Want: with(v1alpha1.Disabled, ""),
			AWS: stage(trailLike(trailARN, keyed(aws.String("")))),
		},
		{Name: "without the trail it waits", Want: with(v1alpha1.Enabled, keyARN), AWS: stage(), Findings: waiting},
	})
}

func TestARefusedKeySaysWhy(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage(trailLike(trailARN, nil))(c)
	key := badKey
	err := remediate(context.Background(), target(c), control.Drift{
		Resource: trailARN, After: control.JSON(change{settings: settings{KMSKey: &key}}),
	})
	if !control.IsCode(err, "InsufficientEncryptionPolicyException") {
		t.Errorf("got %v", err)
	}
}

package iam

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const rootARN = "arn:aws:iam::111122223333:root"

// root is the account summary of a root user with these credentials.
func root(mfa, password, keys, certificates int32) map[string]int32 {
	return map[string]int32{
		"AccountMFAEnabled": mfa, "AccountPasswordPresent": password, "AccountAccessKeysPresent": keys,
		"AccountSigningCertificatesPresent": certificates,
	}
}

func without(summary map[string]int32, key string) map[string]int32 {
	delete(summary, key)
	return summary
}

func TestRootAccessKeys(t *testing.T) {
	want := v1alpha1.RootAccessKeys{ControlSpec: enabled}
	controltest.Run(t, RootAccessKeys, []controltest.Case[v1alpha1.RootAccessKeys]{
		{Name: "no keys and no certificates are compliant", Want: want, AWS: account{summary: root(0, 1, 0, 0)}.stage},
		{
			Name: "a key is reported", Want: want, AWS: account{summary: root(1, 1, 1, 0)}.stage,
			Findings: []control.Finding{reportOnly(rootARN, "", control.Field{Path: "accessKeys", Want: "0", Got: "1"})},
		},
		{
			Name: "a certificate is reported", Want: want, AWS: account{summary: root(1, 1, 0, 2)}.stage,
			Findings: []control.Finding{reportOnly(rootARN, "", control.Field{Path: "signingCertificates", Want: "0", Got: "2"})},
		},
		{
			Name: "a count that AWS leaves out is unknown, not 0", Want: want, Err: "AccountAccessKeysPresent",
			AWS: account{summary: without(root(1, 1, 0, 0), "AccountAccessKeysPresent")}.stage,
		},
		{
			Name: "so is that of certificates", Want: want, Err: "AccountSigningCertificatesPresent",
			AWS: account{summary: without(root(1, 1, 0, 0), "AccountSigningCertificatesPresent")}.stage,
		},
	})
}

func TestRootMFA(t *testing.T) {
	want := v1alpha1.RootMFA{ControlSpec: enabled}
	hardware := v1alpha1.RootMFA{ControlSpec: enabled, Device: v1alpha1.MFADeviceHardware}
	device := func(arn string) types.VirtualMFADevice {
		// The serial number's name is free: it must not be what is looked at.
		return types.VirtualMFADevice{SerialNumber: aws.String("arn:aws:iam::111122223333:mfa/root"), User: &types.User{Arn: aws.String(arn)}}
	}
	others := []types.VirtualMFADevice{device(userARN("a")), device(userARN("b")), device(userARN("root"))}
	missing := func(want, got string) []control.Finding {
		return []control.Finding{reportOnly(rootARN, "", control.Field{Path: "mfa", Want: want, Got: got})}
	}
	controltest.Run(t, RootMFA, []controltest.Case[v1alpha1.RootMFA]{
		{Name: "any device is compliant", Want: want, AWS: account{summary: root(1, 1, 0, 0)}.stage},
		{Name: "no device is reported", Want: want, AWS: account{summary: root(0, 1, 0, 0)}.stage, Findings: missing("Any", "none")},
		{Name: "a key without a password is a credential too", Want: want, AWS: account{summary: root(0, 0, 1, 0)}.stage, Findings: missing("Any", "none")},
		{Name: "a root user without credentials needs no device", Want: hardware, AWS: account{summary: root(0, 0, 0, 0)}.stage},
		{
			Name: "whether root has a password must be known", Want: want, Err: "AccountPasswordPresent",
			AWS: account{summary: without(root(0, 0, 0, 0), "AccountPasswordPresent")}.stage,
		},
		{
			Name: "whether root has a device must be known", Want: want, Err: "AccountMFAEnabled",
			AWS: account{summary: without(root(0, 0, 0, 0), "AccountMFAEnabled")}.stage,
		},
		{Name: "a device that is no app is compliant with Hardware", Want: hardware, AWS: account{summary: root(1, 1, 0, 0), virtual: others}.stage},
		{
			Name: "an app is not, on whatever page it stands", Want: hardware, Findings: missing("Hardware", "an app"),
			AWS: account{summary: root(1, 1, 0, 0), virtual: append(others, device(rootARN))}.stage,
		},
		{
			Name: "a device without a user is not judged", Want: hardware, Err: "the user of an assigned device",
			AWS: account{summary: root(1, 1, 0, 0), virtual: []types.VirtualMFADevice{{}}}.stage,
		},
		{
			Name: "GovCloud has no root user for the console", Want: want, AWS: account{}.stage,
			Target: func(t *control.Target) { t.Partition, t.Region = "aws-us-gov", "us-gov-west-1" },
			Findings: []control.Finding{{
				Outcome: control.NotApplicable, Reason: "NoConsoleRoot",
			}},
		},
	})
}

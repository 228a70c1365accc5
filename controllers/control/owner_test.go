package control

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestTheNameOfAResourceTellsItsOwner(t *testing.T) {
	for resource, want := range map[string]string{
		"arn:aws:cloudtrail:eu-central-1:111122223333:trail/aws-controltower-BaselineCloudTrail": "AWS Control Tower",
		"arn:aws:s3:::aws-controltower-logs-111122223333-eu-central-1":                           "AWS Control Tower",
		"arn:aws:iam::111122223333:role/aws-controltower-ConfigRecorderRole":                     "AWS Control Tower",
		"arn:aws:iam::111122223333:role/service-role/AWSControlTowerCloudTrailRole":              "AWS Control Tower",
		"arn:aws-us-gov:iam::111122223333:role/stacksets-exec-0123456789abcdef":                  "CloudFormation StackSets",
		"arn:aws:cloudtrail:us-east-1:111122223333:trail/AWSAccelerator-Organizations":           "Landing Zone Accelerator",
		"arn:aws:s3:::aws-accelerator-central-logs-111122223333-us-east-1":                       "Landing Zone Accelerator",
		"arn:aws:wafv2:us-east-1:111122223333:regional/webacl/FMManagedWebACLV2-p-1/1234":        "AWS Firewall Manager",
		"arn:aws:s3:::cdk-hnb659fds-assets-111122223333-eu-west-1":                               "AWS CDK bootstrap",
		"aws-controltower-logs":                                        "AWS Control Tower",
		"arn:aws:s3:::payments":                                        "",
		"arn:aws:s3:::my-aws-controltower-logs":                        "",
		"arn:aws:kms:eu-central-1:111122223333:key/1234":               "",
		"arn:aws:iam::111122223333:user/aws/controltower":              "",
		"arn:aws:ec2:eu-central-1:111122223333:EbsEncryptionByDefault": "",
		"": "",
	} {
		if got := OwnerByName(resource); got != want {
			t.Errorf("%q is of %q, want %q", resource, got, want)
		}
	}
}

func TestTheTagsOfAResourceTellItsOwner(t *testing.T) {
	const id = "arn:aws:cloudformation:eu-central-1:111122223333:stack/payments/0000"
	for name, tc := range map[string]struct {
		tags map[string]string
		want string
	}{
		"no tags":                     {nil, ""},
		"tags that people set":        {map[string]string{"stack-name": "payments", "cloudformation": "yes"}, ""},
		"a stack":                     {map[string]string{"aws:cloudformation:stack-name": "payments", "aws:cloudformation:stack-id": id}, "CloudFormation stack payments"},
		"a stack by its id":           {map[string]string{"aws:cloudformation:stack-id": id}, "CloudFormation stack payments"},
		"an id that is none":          {map[string]string{"aws:cloudformation:stack-id": "payments"}, "CloudFormation stack payments"},
		"a stack set's stack":         {map[string]string{"aws:cloudformation:stack-name": "StackSet-guardrails-0000"}, "CloudFormation stack StackSet-guardrails-0000"},
		"a stack of Control Tower":    {map[string]string{"aws:cloudformation:stack-name": "StackSet-AWSControlTowerBP-BASELINE-CLOUDTRAIL-0"}, "AWS Control Tower (CloudFormation stack StackSet-AWSControlTowerBP-BASELINE-CLOUDTRAIL-0)"},
		"a stack of the accelerator":  {map[string]string{"aws:cloudformation:stack-name": "AWSAccelerator-LoggingStack-1"}, "Landing Zone Accelerator (CloudFormation stack AWSAccelerator-LoggingStack-1)"},
		"the stack of the CDK":        {map[string]string{"aws:cloudformation:stack-name": "CDKToolkit"}, "AWS CDK bootstrap (CloudFormation stack CDKToolkit)"},
		"a product without a stack":   {map[string]string{"aws:servicecatalog:productArn": "arn:aws:catalog:eu-central-1:111122223333:product/p"}, "AWS Service Catalog"},
		"a name that cannot be shown": {map[string]string{"aws:cloudformation:stack-name": "pay\u202ements"}, "CloudFormation stack pay ments"},
	} {
		if got := OwnerByTags(tc.tags); got != tc.want {
			t.Errorf("%s: the owner is %q, want %q", name, got, tc.want)
		}
	}
}

func TestEveryOwnerSaysWhatAChangeMeansToIt(t *testing.T) {
	for by, want := range map[string]string{
		"AWS Control Tower": "drift",
		"AWS Control Tower (CloudFormation stack StackSet-AWSControlTowerBP-0)": "drift",
		"CloudFormation StackSets":      "keep them out",
		"Landing Zone Accelerator":      "its next run reverts",
		"AWS Firewall Manager":          "puts back",
		"AWS CDK bootstrap":             "cdk bootstrap",
		"AWS Service Catalog":           "product",
		"CloudFormation stack payments": "next update of the stack reverts",
	} {
		if got := OwnerEffect(by); !strings.Contains(got, want) {
			t.Errorf("a change of what %s manages: %q, want %q in it", by, got, want)
		}
	}
}

func TestAWSIsNotAskedWhatTheNameTells(t *testing.T) {
	asked := 0
	b := Bound{owner: func(context.Context, *Target, string) (string, error) { asked++; return "", errors.New("denied") }}
	if by, err := b.OwnerOf(context.Background(), nil, "arn:aws:s3:::aws-controltower-logs"); by != ControlTower || err != nil || asked != 0 {
		t.Errorf("the owner is %q (%v) after %d questions", by, err, asked)
	}
	if by, err := b.OwnerOf(context.Background(), nil, "arn:aws:s3:::payments"); by != "" || err == nil || asked != 1 {
		t.Errorf("the owner is %q (%v) after %d questions", by, err, asked)
	}
	if by, err := (Bound{}).OwnerOf(context.Background(), nil, "arn:aws:s3:::payments"); by != "" || err != nil {
		t.Errorf("the owner is %q (%v) where only the name tells", by, err)
	}
}

package iam

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// RootMFA holds that the root user has MFA, or no credentials that MFA could protect.
var RootMFA = control.Control[v1alpha1.RootMFA]{
	Meta: control.Meta{
		ID:    "iam-root-mfa",
		Title: "Root MFA",
		Doc: "A stolen root password alone must not open the account. A root user without password and access keys, as in " +
			"accounts whose root credentials were removed centrally, is compliant. device: Hardware asks that root has no app as " +
			"its device; whether a security key can be copied AWS does not say. Only reported: only root can enrol a device. Does " +
			"not apply in aws-us-gov, whose accounts have no root user for the console.",
		Scope:    control.Account,
		Risk:     control.ReportOnly,
		Severity: v1alpha1.SeverityCritical,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.4", "1.5"}, "CIS-3.0": {"1.5", "1.6"}, "SecurityHub": {"IAM.6", "IAM.9"},
		},
		Reads:  []string{"iam:GetAccountSummary", "iam:ListVirtualMFADevices"},
		Events: homeEvents("EnableMFADevice", "DeactivateMFADevice"),
	},
	Observe: observeRootMFA,
}

func observeRootMFA(ctx context.Context, t *control.Target, want v1alpha1.RootMFA) ([]control.Finding, error) {
	root := t.GlobalARN("iam", "root")
	if t.Partition == "aws-us-gov" {
		return []control.Finding{{
			Outcome: control.NotApplicable, Reason: "NoConsoleRoot",
			Message: "accounts of " + t.Partition + " have no root user for the console",
		}}, nil
	}
	summary, err := accountSummary.From(ctx, t.Home())
	if err != nil {
		return nil, err
	}
	enabled, err := summarized(summary, types.SummaryKeyTypeAccountMFAEnabled)
	if err != nil {
		return nil, err
	}
	device, got := want.DeviceOrDefault(), "none"
	switch {
	case enabled == 0:
		bare, err := rootHasNoCredentials(summary)
		if err != nil || bare {
			return nil, err
		}
	case device == v1alpha1.MFADeviceHardware:
		app, err := rootHasVirtualDevice(ctx, t.Home())
		if err != nil || !app {
			return nil, err
		}
		got = "an app"
	default:
		return nil, nil
	}
	return []control.Finding{reported(root, []control.Field{{Path: "mfa", Want: string(device), Got: got}}, hold{})}, nil
}

// rootHasNoCredentials is so after root's credentials were removed centrally; MFA then stays off for ever, and there is
// nothing for it to protect.
func rootHasNoCredentials(summary map[string]int32) (bool, error) {
	password, err := summarized(summary, types.SummaryKeyTypeAccountPasswordPresent)
	if err != nil {
		return false, err
	}
	keys, err := summarized(summary, types.SummaryKeyTypeAccountAccessKeysPresent)
	return password == 0 && keys == 0, err
}

// rootHasVirtualDevice looks at whom the account's apps belong to. The serial number says nothing: its name is free.
func rootHasVirtualDevice(ctx context.Context, t *control.Target) (bool, error) {
	api, found := iam.NewFromConfig(t.AWS), false
	err := pages("ListVirtualMFADevices", func(marker *string) (*string, bool, error) {
		out, err := api.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{
			AssignmentStatus: types.AssignmentStatusTypeAssigned, Marker: marker,
		})
		if err != nil {
			return nil, false, fmt.Errorf("listing virtual MFA devices: %w", err)
		}
		for _, d := range out.VirtualMFADevices {
			if d.User == nil || aws.ToString(d.User.Arn) == "" {
				return nil, false, control.Unexpected("ListVirtualMFADevices", "the user of an assigned device")
			}
			found = found || strings.HasSuffix(*d.User.Arn, ":root")
		}
		return out.Marker, out.IsTruncated, nil
	})
	return found, err
}

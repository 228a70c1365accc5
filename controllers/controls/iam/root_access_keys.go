package iam

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// RootAccessKeys holds that the root user has no access keys and no signing certificates.
var RootAccessKeys = control.Control[v1alpha1.RootAccessKeys]{
	Meta: control.Meta{
		ID:    "iam-root-access-keys",
		Title: "No root access keys",
		Doc: "Whoever holds a key of the root user can do everything in the account; no policy of the account restrains it. " +
			"Only reported: deleting a key cannot be undone. Delete it as root, or remove root's credentials centrally from the " +
			"management account.",
		Scope:    control.Account,
		Risk:     control.ReportOnly,
		Severity: v1alpha1.SeverityCritical,
		Frameworks: map[string][]string{
			"CIS-5.0": {"1.3"}, "CIS-3.0": {"1.4"}, "SecurityHub": {"IAM.4"},
		},
		Reads:  []string{"iam:GetAccountSummary"},
		Events: homeEvents("CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"),
	},
	Observe: observeRootAccessKeys,
}

func observeRootAccessKeys(ctx context.Context, t *control.Target, _ v1alpha1.RootAccessKeys) ([]control.Finding, error) {
	summary, err := accountSummary.From(ctx, t.Home())
	if err != nil {
		return nil, err
	}
	keys, err := summarized(summary, types.SummaryKeyTypeAccountAccessKeysPresent)
	if err != nil {
		return nil, err
	}
	certificates, err := summarized(summary, types.SummaryKeyTypeAccountSigningCertificatesPresent)
	if err != nil {
		return nil, err
	}
	var fields []control.Field
	if keys != 0 {
		fields = append(fields, control.Field{Path: "accessKeys", Want: "0", Got: fmt.Sprint(keys)})
	}
	if certificates != 0 {
		fields = append(fields, control.Field{Path: "signingCertificates", Want: "0", Got: fmt.Sprint(certificates)})
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return []control.Finding{reported(t.GlobalARN("iam", "root"), fields, hold{})}, nil
}

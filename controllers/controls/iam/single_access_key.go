package iam

import (
	"context"
	"fmt"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// SingleAccessKey holds that a user has one active access key at most.
var SingleAccessKey = control.Control[v1alpha1.SingleAccessKey]{
	Meta: control.Meta{
		ID:    "iam-single-access-key",
		Title: "One active access key per user",
		Doc: "A second active key is one more to leak, and hides which is in use. Only reported: which of them still signs " +
			"something only its owner knows.",
		Scope:       control.Account,
		Risk:        control.ReportOnly,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Frameworks:  map[string][]string{"CIS-5.0": {"1.12"}, "CIS-3.0": {"1.13"}},
		Reads: []string{
			"iam:GetCredentialReport", "iam:GenerateCredentialReport", "iam:ListUsers", "iam:GetUser", "iam:ListAccessKeys",
		},
		Events: homeEvents("CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"),
	},
	Observe: observeSingleAccessKey,
}

func observeSingleAccessKey(ctx context.Context, t *control.Target, _ v1alpha1.SingleAccessKey) ([]control.Finding, error) {
	t = t.Home()
	wrong := func(row reportRow) bool { return row.more || row.keys[0].active && row.keys[1].active }
	return observeUsers(ctx, t, wrong, func(ctx context.Context, u user) ([]control.Finding, error) {
		keys, err := readKeys(ctx, t, u.name)
		if err != nil {
			return nil, err
		}
		var active []string
		for _, k := range keys {
			if k.active() {
				active = append(active, k.masked())
			}
		}
		if len(active) <= 1 {
			return nil, nil
		}
		return []control.Finding{reported(u.arn, []control.Field{{
			Path: "accessKeys.active", Want: "at most 1", Got: fmt.Sprintf("%d (%s)", len(active), strings.Join(active, ", ")),
		}}, hold{})}, nil
	})
}

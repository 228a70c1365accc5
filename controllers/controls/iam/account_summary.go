package iam

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// accountSummary reads the counts and quotas of IAM in the account.
var accountSummary = control.Read[map[string]int32]{
	Key:     "iam.accountSummary",
	Actions: []string{"iam:GetAccountSummary"},
	Do: func(ctx context.Context, t *control.Target) (map[string]int32, error) {
		out, err := iam.NewFromConfig(t.AWS).GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})
		if err != nil {
			return nil, fmt.Errorf("reading the account summary: %w", err)
		}
		return out.SummaryMap, nil
	},
}

// summarized is one count of the summary. A count that is not there is unknown, not 0.
func summarized(summary map[string]int32, key types.SummaryKeyType) (int32, error) {
	n, ok := summary[string(key)]
	if !ok {
		return 0, control.Unexpected("GetAccountSummary", string(key))
	}
	return n, nil
}

package control

import (
	"context"
	"strings"
)

// Purposes of requests that no control and no shared read makes.
const (
	// PurposeSession: entering an account, and finding out which regions it has.
	PurposeSession = "session"
	// PurposeDiscovery: reading the organization.
	PurposeDiscovery = "discovery"
)

type purposeKey struct{}

// WithPurpose says what the requests made under the context are for: a control's id, the name of a read that several
// controls share, or one of the purposes above. A label of metrics, so there are never more than a few hundred.
func WithPurpose(ctx context.Context, purpose string) context.Context {
	return context.WithValue(ctx, purposeKey{}, purpose)
}

// PurposeOf is what the requests made under the context are for; empty when nobody has said.
func PurposeOf(ctx context.Context) string {
	purpose, _ := ctx.Value(purposeKey{}).(string)
	return purpose
}

// purposeOf is the name of a read without the resource that its key may go on with: "s3.tags" of "s3.tags.my-bucket".
func purposeOf(key string) string {
	service, rest, ok := strings.Cut(key, ".")
	if !ok {
		return key
	}
	name, _, _ := strings.Cut(rest, ".")
	return service + "." + name
}

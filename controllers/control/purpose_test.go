package control

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
)

type nowhere struct{}

func (nowhere) Config(string, []string) aws.Config { return aws.Config{} }

func (nowhere) Admin(string) (Connector, string, error) { return nowhere{}, "222233334444", nil }

// What several controls share is made for none of them, and no name of a resource ever becomes a purpose.
func TestASharedReadIsMadeUnderItsOwnName(t *testing.T) {
	var made []string
	read := func(key string) Read[int] {
		return Read[int]{Key: key, Do: func(ctx context.Context, _ *Target) (int, error) {
			made = append(made, PurposeOf(ctx))
			return 0, nil
		}}
	}
	shared := Shared[int]{Key: "guardduty.members", Service: "guardduty", Do: func(ctx context.Context, _ *Target) (int, error) {
		made = append(made, PurposeOf(ctx))
		return 0, nil
	}}
	ctx := WithPurpose(context.Background(), "the-first-control")
	memo := NewMemo(context.Background())
	for _, id := range []string{"the-first-control", "the-second-control"} {
		ctx := WithPurpose(ctx, id)
		target := NewTarget(Target{Account: "111122223333"}, nowhere{}, nil, memo, NewSharedMemo(time.Now))
		_, _ = read("s3.buckets").From(ctx, target)
		_, _ = read("s3.tags.my.bucket").From(ctx, target)
		if id == "the-first-control" {
			_, _, _ = shared.From(ctx, target)
		}
	}
	_, _ = read("s3.buckets").From(ctx, NewTarget(Target{}, nowhere{}, nil, nil, nil))
	if diff := cmp.Diff([]string{"s3.buckets", "s3.tags", "guardduty.members", "s3.buckets"}, made); diff != "" {
		t.Errorf("purposes (-want +got):\n%s", diff)
	}
	if got := PurposeOf(context.Background()); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

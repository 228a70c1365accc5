package s3

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// inFlight bounds the buckets that one observation asks about at a time.
const inFlight = 10

// reasonRegionUnknown says that AWS did not say in which region a bucket lies.
const reasonRegionUnknown = "RegionUnknown"

// client addresses buckets by path: one TLS host per region instead of one per bucket.
func client(t *control.Target) *s3.Client {
	return s3.NewFromConfig(t.AWS, func(o *s3.Options) { o.UsePathStyle = true })
}

// bucket is a bucket of the account. Its region is empty where AWS did not say it.
type bucket struct{ name, region string }

// buckets lists the account's general-purpose buckets of all regions. Ask it in the home region.
var buckets = control.Read[[]bucket]{Key: "s3.buckets", Actions: []string{"s3:ListAllMyBuckets"}, Do: listBuckets}

// listBuckets always sends MaxBuckets: without a parameter S3 leaves BucketRegion out of the answer, and refuses accounts
// with more than 10,000 buckets.
func listBuckets(ctx context.Context, t *control.Target) ([]bucket, error) {
	var all []bucket
	seen := map[string]bool{}
	in := &s3.ListBucketsInput{MaxBuckets: aws.Int32(1000)}
	for {
		page, err := client(t).ListBuckets(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("listing buckets: %w", err)
		}
		if page.Owner == nil {
			return nil, control.Unexpected("ListBuckets", "the owner, which even an empty list has")
		}
		for _, b := range page.Buckets {
			name, region := aws.ToString(b.Name), aws.ToString(b.BucketRegion)
			if name == "" {
				return nil, control.Unexpected("ListBuckets", "a bucket's name")
			}
			if !strings.Contains(region, "-") { // absent, or a location constraint such as EU, which is no region
				region = ""
			}
			all = append(all, bucket{name, region})
		}
		token := aws.ToString(page.ContinuationToken)
		if token == "" {
			return all, nil
		}
		if seen[token] {
			return nil, control.Unexpected("ListBuckets", "a new continuation token: the same came twice")
		}
		seen[token], in.ContinuationToken = true, &token
	}
}

// each looks at every selected bucket of t's region. A bucket that cannot be read is an Unknown finding beside the others;
// one that is deleted meanwhile is none.
func each(ctx context.Context, t *control.Target, selector *v1alpha1.BucketSelector,
	look func(ctx context.Context, bucket string) ([]control.Finding, error),
) ([]control.Finding, error) {
	all, err := buckets.From(ctx, t.Home())
	if err != nil {
		return nil, err
	}
	var here []string
	var found []control.Finding
	for _, b := range all {
		switch {
		case !named(selector, b.name):
		case b.region == "" && speaksForUnplaced(t):
			found = append(found, unplaced(t, b.name))
		case b.region == t.Region:
			here = append(here, b.name)
		}
	}
	looked := make([][]control.Finding, len(here))
	control.Each(inFlight, len(here), func(i int) { looked[i] = lookAt(ctx, t, selector, here[i], look) })
	return slices.Concat(found, slices.Concat(looked...)), ctx.Err()
}

func lookAt(ctx context.Context, t *control.Target, selector *v1alpha1.BucketSelector, name string,
	look func(ctx context.Context, bucket string) ([]control.Finding, error),
) []control.Finding {
	selected, err := tagged(ctx, t, selector, name)
	if err == nil && !selected {
		return nil
	}
	var found []control.Finding
	if err == nil {
		found, err = look(ctx, name)
	}
	switch {
	case control.IsCode(err, "NoSuchBucket"):
		return nil
	case err != nil:
		return []control.Finding{control.Unreadable(bucketARN(t, name), err)}
	}
	return found
}

// named says whether the selector's globs select the name.
func named(selector *v1alpha1.BucketSelector, name string) bool {
	if selector == nil {
		return true
	}
	matches := func(pattern string) bool { return control.Glob(pattern, name) }
	if slices.ContainsFunc(selector.Exclude, matches) {
		return false
	}
	return len(selector.Include) == 0 || slices.ContainsFunc(selector.Include, matches)
}

// tagged says whether the bucket carries the selector's tags.
func tagged(ctx context.Context, t *control.Target, selector *v1alpha1.BucketSelector, name string) (bool, error) {
	if selector == nil || len(selector.MatchTags) == 0 {
		return true, nil
	}
	tags, err := tagsOf(name).From(ctx, t)
	if err != nil {
		return false, err
	}
	for key, value := range selector.MatchTags {
		if got, ok := tags[key]; !ok || got != value {
			return false, nil
		}
	}
	return true, nil
}

// tagsOf reads a bucket's tags, once per bucket and pass, however many controls ask.
func tagsOf(name string) control.Read[map[string]string] {
	return control.Read[map[string]string]{
		Key: "s3.tags." + name, Actions: []string{"s3:GetBucketTagging"},
		Do: func(ctx context.Context, t *control.Target) (map[string]string, error) {
			return bucketTags(ctx, t, name)
		},
	}
}

// ownerOf says who manages a bucket, by its tags.
func ownerOf(ctx context.Context, t *control.Target, arn string) (string, error) {
	name, err := nameOf(t, arn)
	if err != nil {
		return "", err
	}
	tags, err := tagsOf(name).From(ctx, t)
	if err != nil {
		return "", err
	}
	return control.OwnerByTags(tags), nil
}

func bucketTags(ctx context.Context, t *control.Target, name string) (map[string]string, error) {
	out, err := client(t).GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &name})
	if control.IsCode(err, "NoSuchTagSet") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading tags: %w", err)
	}
	if out.TagSet == nil {
		return nil, control.Unexpected("GetBucketTagging", "a tag set")
	}
	tags := make(map[string]string, len(out.TagSet))
	for _, tag := range out.TagSet {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags, nil
}

// speaksForUnplaced says whether t's check reports the buckets without a region: one region's check does, the home region's
// where it is selected.
func speaksForUnplaced(t *control.Target) bool {
	if home := control.HomeRegion(t.Partition); len(t.Regions) == 0 || slices.Contains(t.Regions, home) {
		return t.Region == home
	}
	return t.Region == slices.Min(t.Regions)
}

func unplaced(t *control.Target, name string) control.Finding {
	return control.Finding{
		Drift: control.Drift{Resource: bucketARN(t, name)}, Outcome: control.Unknown, Reason: reasonRegionUnknown,
		Message: "s3:ListAllMyBuckets did not say in which region the bucket lies; it was not looked at — tried again by itself",
	}
}

func bucketARN(t *control.Target, name string) string { return "arn:" + t.Partition + ":s3:::" + name }

// nameOf is the name of the bucket with the ARN.
func nameOf(t *control.Target, arn string) (string, error) {
	name, ok := strings.CutPrefix(arn, bucketARN(t, ""))
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("%s is no bucket of partition %s", arn, t.Partition)
	}
	return name, nil
}

// change is a drift of one bucket, decoded.
type change[T any] struct {
	bucket        string
	before, after T
}

// changeOf decodes a drift of a bucket that recorded its change as T.
func changeOf[T any](t *control.Target, d control.Drift) (change[T], error) {
	name, err := nameOf(t, d.Resource)
	if err != nil {
		return change[T]{}, err
	}
	c := change[T]{bucket: name}
	if c.before, err = control.Decode[T](d.Before); err != nil {
		return change[T]{}, err
	}
	c.after, err = control.Decode[T](d.After)
	return c, err
}

// bucketEvents are the events of which each may change what is to be said of a bucket: those of the bucket's life and tags,
// and the named ones. They appear in the bucket's region.
func bucketEvents(names ...string) []control.Event {
	var events []control.Event
	for _, name := range append([]string{"CreateBucket", "DeleteBucket", "PutBucketTagging", "DeleteBucketTagging"}, names...) {
		events = append(events, control.Event{Source: "s3", Name: name, Seen: control.SeenInRegion})
	}
	return events
}

package s3

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls/kmskey"
)

// encryption is a bucket's encryption rule, or the parts of it that a change writes: the others are absent.
type encryption struct {
	Algorithm v1alpha1.EncryptionAlgorithm `json:"algorithm,omitempty"`
	// Key goes with the algorithm; empty is the AWS managed key.
	Key        *string `json:"key,omitempty"`
	BucketKey  *bool   `json:"bucketKey,omitempty"`
	BlocksSSEC *bool   `json:"blocksSSEC,omitempty"`
}

// The algorithms beside those that can be declared.
const (
	// noEncryption is ours: the bucket has no rule.
	noEncryption v1alpha1.EncryptionAlgorithm = "None"
	// algorithmFSx and algorithmBackup are those of buckets that FSx and AWS Backup look after.
	algorithmFSx    = v1alpha1.EncryptionAlgorithm(types.ServerSideEncryptionAwsFsx)
	algorithmBackup = v1alpha1.EncryptionAlgorithm(types.ServerSideEncryptionAwsBackup)
)

// strength orders the algorithms. One that is not here cannot be judged.
var strength = map[v1alpha1.EncryptionAlgorithm]int{
	noEncryption: 0, v1alpha1.AlgorithmAES256: 1, algorithmFSx: 2, algorithmBackup: 2, v1alpha1.AlgorithmKMS: 3, v1alpha1.AlgorithmDSSE: 4,
}

// byService are the algorithms that nobody but the service sets.
var byService = map[v1alpha1.EncryptionAlgorithm]bool{algorithmFSx: true, algorithmBackup: true}

func readEncryption(ctx context.Context, t *control.Target, name string) (encryption, error) {
	rule, err := encryptionRule(ctx, t, name)
	if err != nil {
		return encryption{}, err
	}
	e := encryption{
		Algorithm: noEncryption, Key: aws.String(""), BucketKey: aws.Bool(aws.ToBool(rule.BucketKeyEnabled)), BlocksSSEC: aws.Bool(false),
	}
	if d := rule.ApplyServerSideEncryptionByDefault; d != nil {
		e.Algorithm, e.Key = v1alpha1.EncryptionAlgorithm(d.SSEAlgorithm), aws.String(aws.ToString(d.KMSMasterKeyID))
	}
	if _, known := strength[e.Algorithm]; !known {
		return encryption{}, control.Unexpected("GetBucketEncryption", "an algorithm that is known: "+control.Bounded(string(e.Algorithm), 32))
	}
	if b := rule.BlockedEncryptionTypes; b != nil {
		e.BlocksSSEC = aws.Bool(slices.Contains(b.EncryptionType, types.EncryptionTypeSseC))
	}
	return e, nil
}

// encryptionRule is the bucket's rule; an empty one where there is none.
func encryptionRule(ctx context.Context, t *control.Target, name string) (types.ServerSideEncryptionRule, error) {
	out, err := client(t).GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &name})
	if control.IsCode(err, "ServerSideEncryptionConfigurationNotFoundError") {
		return types.ServerSideEncryptionRule{}, nil
	}
	if err != nil {
		return types.ServerSideEncryptionRule{}, fmt.Errorf("reading the default encryption: %w", err)
	}
	if c := out.ServerSideEncryptionConfiguration; c != nil && len(c.Rules) == 1 {
		return c.Rules[0], nil
	}
	return types.ServerSideEncryptionRule{}, control.Unexpected("GetBucketEncryption", "one rule")
}

// writeEncryption changes the named parts of the bucket's rule and sends the others as they are.
func writeEncryption(ctx context.Context, t *control.Target, name string, to encryption) error {
	rule, err := encryptionRule(ctx, t, name)
	if err != nil {
		return err
	}
	if to.Algorithm != "" {
		d := types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryption(to.Algorithm)}
		if key := aws.ToString(to.Key); key != "" {
			d.KMSMasterKeyID = &key
		}
		rule.ApplyServerSideEncryptionByDefault = &d
	}
	if to.BucketKey != nil {
		rule.BucketKeyEnabled = to.BucketKey
	}
	if to.BlocksSSEC != nil {
		rule.BlockedEncryptionTypes = blocking(rule.BlockedEncryptionTypes, *to.BlocksSSEC)
	}
	_, err = client(t).PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket:                            &name,
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}},
	})
	if err != nil {
		return fmt.Errorf("setting the default encryption: %w", err)
	}
	return nil
}

// blocking adds SSE-C to the blocked types or takes it out, and keeps the others. NONE says that nothing is blocked; leaving
// the list out might leave SSE-C blocked, which is AWS's default since April 2026.
func blocking(now *types.BlockedEncryptionTypes, sseC bool) *types.BlockedEncryptionTypes {
	var kept []types.EncryptionType
	if now != nil {
		for _, e := range now.EncryptionType {
			if e != types.EncryptionTypeSseC && e != types.EncryptionTypeNone {
				kept = append(kept, e)
			}
		}
	}
	switch {
	case sseC:
		kept = append(kept, types.EncryptionTypeSseC)
	case len(kept) == 0:
		kept = []types.EncryptionType{types.EncryptionTypeNone}
	}
	return &types.BlockedEncryptionTypes{EncryptionType: kept}
}

func remediateDefaultEncryption(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[encryption](t, d)
	if err != nil {
		return err
	}
	return writeEncryption(ctx, t, c.bucket, c.after)
}

func undoDefaultEncryption(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[encryption](t, d)
	if err != nil {
		return err
	}
	now, err := readEncryption(ctx, t, c.bucket)
	if err != nil {
		return err
	}
	key, err := kmskey.Observed(ctx, t, *now.Key)
	if err != nil {
		return err
	}
	now.Key = &key
	if !now.has(c.after) {
		return control.ErrChanged
	}
	if c.before.Algorithm != noEncryption {
		return writeEncryption(ctx, t, c.bucket, c.before)
	}
	if *now.BucketKey || *now.BlocksSSEC { // these would go with the rule, and are not ours
		return control.ErrChanged
	}
	if _, err := client(t).DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: &c.bucket}); err != nil {
		return fmt.Errorf("taking the default encryption away: %w", err)
	}
	return nil
}

// keyName is what a field says of the key.
func (e encryption) keyName() string {
	switch {
	case *e.Key != "":
		return *e.Key
	case strength[e.Algorithm] >= strength[v1alpha1.AlgorithmKMS]:
		return "alias/aws/s3" // the AWS managed key, where none is named
	}
	return none
}

// has says whether the rule still has the parts that a change wrote.
func (e encryption) has(parts encryption) bool {
	return (parts.Algorithm == "" || parts.Algorithm == e.Algorithm) &&
		(parts.Key == nil || *parts.Key == *e.Key) &&
		(parts.BucketKey == nil || *parts.BucketKey == *e.BucketKey) &&
		(parts.BlocksSSEC == nil || *parts.BlocksSSEC == *e.BlocksSSEC)
}

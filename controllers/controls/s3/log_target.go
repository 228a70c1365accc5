package s3

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// What a bucket that takes logs may be seen to take.
const (
	accessLogs       = "S3 server access logs"
	loadBalancerLogs = "load balancer access logs"
	cloudFrontLogs   = "CloudFront standard logs"
	deliveredLogs    = "logs of an AWS service by delivery.logs.amazonaws.com"
)

// deliverers are the principals that a bucket's policy lets in so that they deliver logs. Sources: "Enable Amazon S3 server
// access logging", "Enable access logs for your Application Load Balancer", "Enable logging from AWS services".
var deliverers = map[string]string{
	"logging.s3.amazonaws.com":                       accessLogs,
	"logdelivery.elasticloadbalancing.amazonaws.com": loadBalancerLogs,
	"logdelivery.elb.amazonaws.com":                  loadBalancerLogs,
	"delivery.logs.amazonaws.com":                    deliveredLogs,
}

// loadBalancerAccounts are the accounts from which Elastic Load Balancing delivers in the regions launched before August
// 2022. Source: "Enable access logs for your Application Load Balancer".
var loadBalancerAccounts = []string{
	"127311923021", "033677994240", "027434742980", "797873946194", "098369216593", "754344448648", "589379963580", "718504428378",
	"383597477331", "600734575887", "114774131450", "783225319266", "582318560864", "985666609251", "054676820928", "156460612806",
	"652711504416", "635631232127", "009996457667", "897822967062", "076674570225", "507241528517", "190560391635", "048591011584",
	"638102146993", "037604701340",
}

// grantees are the grantees of a bucket's ACL that deliver logs: S3's group, and the canonical user ids awslogsdelivery of
// CloudFront's legacy standard logs in the partitions aws and aws-cn. Sources: "Access control list (ACL) overview",
// "Configure standard logging (legacy)".
var grantees = map[string]string{
	"http://acs.amazonaws.com/groups/s3/LogDelivery":                   accessLogs,
	"c4c1ede66af53448b93c283ce9448c4ba468c9432aa01d700d3878632f77d2d0": cloudFrontLogs,
	"a52cb28745c0c06e84ec548334e44bfa7fc2a85c54af20cd59e4969344b7af56": cloudFrontLogs,
}

// takesLogs says which logs are delivered to the bucket; empty when none are seen to be. S3 and the load balancers cannot
// deliver to a bucket with KMS at all, the others only where the key's policy lets them, which nobody here can know. The
// bucket's own policy and ACL are asked first; only then each bucket of the region, for where its access logs go.
func takesLogs(ctx context.Context, t *control.Target, name string) (string, error) {
	p, err := readPolicy(ctx, t, name)
	if err != nil {
		return "", err
	}
	for _, s := range p.statements {
		if logs := s.lets(); logs != "" {
			return logs, nil
		}
	}
	acl, err := client(t).GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &name})
	if err != nil {
		return "", fmt.Errorf("reading the ACL: %w", err)
	}
	if acl.Owner == nil {
		return "", control.Unexpected("GetBucketAcl", "the owner")
	}
	for _, g := range acl.Grants {
		if g.Grantee == nil {
			continue
		}
		if logs := grantees[aws.ToString(g.Grantee.URI)+aws.ToString(g.Grantee.ID)]; logs != "" {
			return logs, nil
		}
	}
	targets, err := accessLogTargets.From(ctx, t)
	if err != nil {
		return "", err
	}
	if targets[name] {
		return accessLogs, nil
	}
	return "", nil
}

// lets says whose log delivery the statement lets in.
func (s statement) lets() string {
	if s.Effect != "Allow" {
		return ""
	}
	for _, service := range s.Principal["Service"] {
		if logs := deliverers[strings.ToLower(service)]; logs != "" {
			return logs
		}
	}
	for _, principal := range s.Principal["AWS"] {
		account := principal
		if parts := strings.Split(principal, ":"); len(parts) == 6 && parts[5] == "root" {
			account = parts[4]
		}
		if slices.Contains(loadBalancerAccounts, account) {
			return loadBalancerLogs
		}
	}
	return ""
}

// accessLogTargets are the buckets of a region that take the access logs of others: source and target lie in one account and
// region. A source that cannot be read is passed over, for S3 delivers only where the target's own policy or ACL lets it in,
// which is looked at as well; when none can be read the question is open.
var accessLogTargets = control.Read[map[string]bool]{
	Key: "s3.accessLogTargets", Actions: []string{"s3:GetBucketLogging"},
	Do: func(ctx context.Context, t *control.Target) (map[string]bool, error) {
		all, err := buckets.From(ctx, t.Home())
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(slices.Clone(all), func(b bucket) bool { return b.region != t.Region })
		targets, errs := make([]string, len(all)), make([]error, len(all))
		control.Each(inFlight, len(all), func(i int) { targets[i], errs[i] = accessLogTarget(ctx, t, all[i].name) })
		if !slices.Contains(errs, nil) && len(errs) > 0 {
			return nil, errs[0]
		}
		found := map[string]bool{}
		for _, target := range targets {
			found[target] = true
		}
		return found, nil
	},
}

func accessLogTarget(ctx context.Context, t *control.Target, name string) (string, error) {
	out, err := client(t).GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: &name})
	if err != nil {
		return "", fmt.Errorf("reading where access logs go: %w", err)
	}
	if out.LoggingEnabled == nil {
		return "", nil
	}
	return aws.ToString(out.LoggingEnabled.TargetBucket), nil
}

package faultproxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// stage is a proxy before a server that counts what reaches it, and a configuration that leads to the proxy.
func stage(t *testing.T) (*Proxy, aws.Config, *atomic.Int64) {
	t.Helper()
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(server.Close)
	p, err := Start(server.URL, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, aws.Config{
		Region: "eu-west-1", BaseEndpoint: &p.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}, &reached
}

// calls is one call of every service, by the name that it is signed for.
func calls(cfg aws.Config) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"ec2": func(ctx context.Context) error {
			_, err := ec2.NewFromConfig(cfg).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
			return err
		},
		"s3": func(ctx context.Context) error {
			_, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		},
		"s3control": func(ctx context.Context) error {
			_, err := s3control.NewFromConfig(cfg).GetPublicAccessBlock(ctx, &s3control.GetPublicAccessBlockInput{AccountId: aws.String("111122223333")},
				func(o *s3control.Options) {
					o.HTTPClient = throughProxy(strings.Replace(*cfg.BaseEndpoint, "localhost", "127.0.0.1", 1))
				})
			return err
		},
		"kms": func(ctx context.Context) error {
			_, err := kms.NewFromConfig(cfg).ListKeys(ctx, &kms.ListKeysInput{})
			return err
		},
		"guardduty": func(ctx context.Context) error {
			_, err := guardduty.NewFromConfig(cfg).ListDetectors(ctx, &guardduty.ListDetectorsInput{})
			return err
		},
		"organizations": func(ctx context.Context) error {
			_, err := organizations.NewFromConfig(cfg).ListRoots(ctx, &organizations.ListRootsInput{})
			return err
		},
		"iam": func(ctx context.Context) error {
			_, err := iam.NewFromConfig(cfg).ListUsers(ctx, &iam.ListUsersInput{})
			return err
		},
		"sts": func(ctx context.Context) error {
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			return err
		},
	}
}

func TestErrorsAreReadByTheSDKAsTheServicesOwn(t *testing.T) {
	p, cfg, reached := stage(t)
	codes := func(a Action) map[string]string {
		defer p.Add(Fault{Action: a})()
		found := map[string]string{}
		for service, call := range calls(cfg) {
			var api smithy.APIError
			if err := call(t.Context()); errors.As(err, &api) {
				found[service] = api.ErrorCode()
			} else {
				t.Errorf("%s: %v", service, err)
			}
		}
		return found
	}
	for name, tc := range map[string]struct {
		action Action
		want   map[string]string
	}{
		"throttled": {Throttle, map[string]string{
			"ec2": "RequestLimitExceeded", "s3": "SlowDown", "s3control": "SlowDown", "kms": "ThrottlingException",
			"guardduty": "TooManyRequestsException", "organizations": "TooManyRequestsException", "iam": "Throttling", "sts": "Throttling",
		}},
		"refused": {Refuse, map[string]string{
			"ec2": "UnauthorizedOperation", "s3": "AccessDenied", "s3control": "AccessDenied", "kms": "AccessDeniedException",
			"guardduty": "AccessDeniedException", "organizations": "AccessDeniedException", "iam": "AccessDenied", "sts": "AccessDenied",
		}},
		"expired": {Expire, map[string]string{
			"ec2": "RequestExpired", "s3": "ExpiredToken", "s3control": "ExpiredToken", "kms": "ExpiredTokenException",
			"guardduty": "ExpiredTokenException", "organizations": "ExpiredTokenException", "iam": "ExpiredToken", "sts": "ExpiredToken",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, codes(tc.action)); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d calls were forwarded", n)
	}
}

func TestAConnectionIsCutBeforeOrAfterTheServiceGotTheCall(t *testing.T) {
	p, cfg, reached := stage(t)
	for name, tc := range map[string]struct {
		action  Action
		reaches int64
	}{"before": {CutBefore, 0}, "after": {CutAfter, 1}} {
		t.Run(name, func(t *testing.T) {
			reached.Store(0)
			lift := p.Add(Fault{Action: tc.action})
			if err := calls(cfg)["ec2"](t.Context()); err == nil {
				t.Error("the call was answered")
			}
			if diff := cmp.Diff([]int64{1, tc.reaches}, []int64{int64(lift()), reached.Load()}); diff != "" {
				t.Errorf("hit and forwarded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestACallHangsUntilTheFaultIsLiftedOrTheCallerGivesUp(t *testing.T) {
	p, cfg, _ := stage(t)
	for name, end := range map[string]func(lift func() int, giveUp func()){
		"lifted":  func(lift func() int, _ func()) { lift() },
		"gave up": func(_ func() int, giveUp func()) { giveUp() },
	} {
		t.Run(name, func(t *testing.T) {
			defer p.LiftAll()
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			lift := p.Add(Fault{Regions: []string{"eu-west-1"}, Action: Hang})
			answered := make(chan error)
			go func() { answered <- calls(cfg)["ec2"](ctx) }()
			for p.Hits() == 0 {
				select {
				case err := <-answered:
					t.Fatalf("the call did not hang: %v", err)
				case <-time.After(time.Millisecond):
				}
			}
			end(lift, giveUp)
			if err := <-answered; err == nil {
				t.Error("the call was answered")
			}
		})
	}
}

func TestAFaultHitsTheShareOfTheCallsThatItMatches(t *testing.T) {
	p, cfg, reached := stage(t)
	p.Add(Fault{Services: []string{"ec2"}, Regions: []string{"eu-west-1"}, Action: Throttle, Percent: 50})
	elsewhere := cfg.Copy()
	elsewhere.Region = "us-east-1"
	for range 200 {
		_ = calls(cfg)["ec2"](t.Context()) // half of them fail
		if err := calls(elsewhere)["ec2"](t.Context()); err != nil {
			t.Fatalf("another region was hit: %v", err)
		}
	}
	if hits := p.Hits(); hits < 70 || hits > 130 || int64(hits) != 400-reached.Load() {
		t.Errorf("%d of 200 calls were hit, %d of 400 were forwarded", hits, reached.Load())
	}
}

// throughProxy sends every request through an HTTP proxy, as HTTP_PROXY makes the manager do.
func throughProxy(address string) *http.Client {
	return &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(address) }}}
}

package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	audit = "arn:aws:iam::111122223333:role/plumbline/PlumblineAudit"
	scp   = "User: x is not authorized to perform: ec2:DescribeVolumes with an explicit deny in a service control policy"
)

func refused(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// volumes is a call that ended with err, as a session hands it to a control.
func volumes(err error) error {
	return fmt.Errorf("listing volumes: %w", &control.CallError{
		Service: "EC2", Operation: "DescribeVolumes", Action: "ec2:DescribeVolumes", Account: "111122223333", Region: "eu-west-1", Role: audit, Err: err,
	})
}

func assuming(err error) error {
	return &control.CallError{
		Service: "STS", Operation: "AssumeRole", Action: "sts:AssumeRole", Account: "111122223333", Region: "eu-west-1", Role: audit, Err: err,
	}
}

func TestExplain(t *testing.T) {
	type explanation struct{ Reason, Message string }
	for name, tc := range map[string]struct {
		err  error
		want explanation
	}{
		"a refusal names the code, the action, the role and the next step": {
			volumes(refused("UnauthorizedOperation", "You are not authorized to perform this operation.")),
			explanation{v1alpha1.RowAccessDenied, "UnauthorizedOperation: You are not authorized to perform this operation. — allow " +
				"ec2:DescribeVolumes to " + audit + " (config/iam), and see whether the resource's own policy refuses it"},
		},
		"EC2's encoded message, which is another one every time, is left out": {
			volumes(refused("UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: Zx81"+strings.Repeat("q", 400))),
			explanation{v1alpha1.RowAccessDenied, "UnauthorizedOperation: You are not authorized. — allow " +
				"ec2:DescribeVolumes to " + audit + " (config/iam), and see whether the resource's own policy refuses it"},
		},
		"a service control policy is told from a missing permission": {
			volumes(refused("AccessDenied", scp)),
			explanation{control.ReasonDeniedBySCP, "AccessDenied: " + scp +
				" — a service control policy refuses ec2:DescribeVolumes: change the policy or exclude the region"},
		},
		"a role that cannot be assumed points to the member roles": {
			assuming(refused("AccessDenied", "User is not authorized to perform: sts:AssumeRole")),
			explanation{v1alpha1.ReasonRoleRefused, "AccessDenied: User is not authorized to perform: sts:AssumeRole — sts:AssumeRole of " + audit +
				" was refused: deploy the member roles of config/iam there, and check that the trust policy names the manager's identity and the external id"},
		},
		"a service control policy that refuses the role": {
			assuming(refused("AccessDenied", "explicit deny in a service control policy")),
			explanation{control.ReasonDeniedBySCP, "AccessDenied: explicit deny in a service control policy — a service control policy refuses " +
				"sts:AssumeRole of " + audit + ": change the policy"},
		},
		"the wrong account is never taken for a missing answer": {
			assuming(fmt.Errorf("%w: wanted 1, got 2", control.ErrWrongAccount)),
			explanation{v1alpha1.ReasonWrongAccount, "the role's credentials belong to another account: wanted 1, got 2 — " +
				"nothing is called with them; mend the role ARN"},
		},
		"a region that is not enabled": {
			volumes(refused("AuthFailure", "AWS was not able to validate the provided access credentials")),
			explanation{control.ReasonCredentials, "AuthFailure: AWS was not able to validate the provided access credentials — check that " +
				audit + " can be assumed and the region is enabled; tried again by itself"},
		},
		"a call that the control did not declare": {
			volumes(fmt.Errorf("%w: EC2.DescribeVolumes", control.ErrUndeclared)),
			explanation{control.ReasonRefusedByGuard, "refused by the guard: EC2.DescribeVolumes — " +
				"nothing was sent; this is a fault of Plumbline, please report it"},
		},
		"no turn under the own rate limit": {
			volumes(fmt.Errorf("%w: EC2.DescribeVolumes", control.ErrRateLimit)),
			explanation{control.ReasonThrottled, "no turn in time under Plumbline's own rate limit: EC2.DescribeVolumes — " +
				"ec2:DescribeVolumes waits for its turn; tried again by itself"},
		},
		"throttling": {
			volumes(refused("RequestLimitExceeded", "Request limit exceeded.")),
			explanation{control.ReasonThrottled, "RequestLimitExceeded: Request limit exceeded. — ec2:DescribeVolumes is throttled; tried again by itself"},
		},
		"an answer without what it must have": {
			volumes(control.Unexpected("DescribeVolumes", "volumes")),
			explanation{control.ReasonUnexpectedData, "unexpected answer: DescribeVolumes without volumes — " +
				"AWS answered ec2:DescribeVolumes with something that cannot be read; tried again by itself"},
		},
		"a policy of the organization": {
			volumes(fmt.Errorf("%w: GUARDDUTY_POLICY", control.ErrManagedByPolicy)),
			explanation{control.ReasonManagedByOrganizationPolicy, "an AWS Organizations policy manages the setting: GUARDDUTY_POLICY — " +
				"an AWS Organizations policy decides this: change the policy, or leave the setting out of the baseline"},
		},
		"no answer in time": {
			volumes(fmt.Errorf("https response error StatusCode: 0, RequestID: , %w", context.DeadlineExceeded)),
			explanation{control.ReasonDidNotAnswer, "not answered in time — ec2:DescribeVolumes got no answer; tried again by itself"},
		},
		"a connection that broke, without its ports": {
			volumes(&net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 54321}, Err: errors.New("connection reset by peer")}),
			explanation{control.ReasonDidNotAnswer, "no connection: read: connection reset by peer — ec2:DescribeVolumes got no answer; tried again by itself"},
		},
		"an answer that is no answer of AWS, without its request id": {
			volumes(&smithyhttp.ResponseError{
				Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusBadGateway}}, Err: errors.New("no XML"),
			}),
			explanation{control.ReasonDidNotAnswer, "HTTP status 502: no XML — ec2:DescribeVolumes got no answer; tried again by itself"},
		},
		"another code": {
			volumes(refused("InternalError", "We encountered an internal error")),
			explanation{v1alpha1.RowReadFailed, "InternalError: We encountered an internal error — ec2:DescribeVolumes as " + audit + "; tried again by itself"},
		},
		"an operation that is in no table": {
			&control.CallError{Service: "EC2", Operation: "Reboot", Role: audit, Err: refused("InternalError", "no")},
			explanation{v1alpha1.RowReadFailed, "InternalError: no — EC2:Reboot as " + audit + "; tried again by itself"},
		},
		"what a control says itself stands alone": {
			errors.New("the key is in another region"),
			explanation{v1alpha1.RowReadFailed, "the key is in another region"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got explanation
			got.Reason, got.Message = control.Explain(tc.err)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Explain (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		n    int
		want string
	}{
		"what fits stays":                            {"größe", 20, "größe"},
		"a cut never splits a rune":                  {"größe", 6, "gr…"},
		"line ends become spaces":                    {"a\nb\rc\td\x00e\x7f", 20, "a b c d e "},
		"the direction of writing cannot be turned":  {"a\u202egnp.exe", 20, "a gnp.exe"},
		"C1 control characters and no-break go, too": {"a\u009bb\u00a0c", 20, "a b c"},
		"what is no UTF-8 is marked":                 {"a\xff\xfeb", 20, "a?b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := control.Bounded(tc.in, tc.n)
			if got != tc.want || len(got) > tc.n || !utf8.ValidString(got) {
				t.Errorf("got %q (%d bytes), want %q", got, len(got), tc.want)
			}
			if again := control.Bounded(got, tc.n); again != got {
				t.Errorf("cut again it becomes %q", again)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for name, tc := range map[string]struct {
		glob, s string
		want    bool
	}{
		"a star stands for any run":           {"arn:aws:s3:::acme-*", "arn:aws:s3:::acme-logs", true},
		"a star stands for nothing, too":      {"arn:aws:s3:::acme*", "arn:aws:s3:::acme", true},
		"the whole string must match":         {"arn:aws:s3:::acme", "arn:aws:s3:::acme-logs", false},
		"a question mark is one character":    {"a?c", "abc", true},
		"a question mark is not nothing":      {"a?c", "ac", false},
		"stars in the middle":                 {"a*b*c", "aXbYbZc", true},
		"a dot is a dot":                      {"a.c", "abc", false},
		"nothing but stars matches the empty": {"**", "", true},
		"an empty glob matches only nothing":  {"", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := control.Glob(tc.glob, tc.s); got != tc.want {
				t.Errorf("Glob(%q, %q) = %v", tc.glob, tc.s, got)
			}
		})
	}
}

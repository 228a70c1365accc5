package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// DefaultRegion is the region of calls for which none is named.
const DefaultRegion = "us-east-1"

// OrganizationRole is the role that AWS makes in every account an organization creates.
const OrganizationRole = "OrganizationAccountAccessRole"

// Config returns what an AWS client needs to act in an account as its administrator: the outsider who sets a test up or
// changes something behind the manager's back. The emulator reads the account from the access key.
//
// Every connection goes to the emulator, whatever the host name, so that S3 Control's account prefix works and no call
// leaves the machine.
func (e *Emulator) Config(account, region string) aws.Config {
	return e.configWith(credentials.NewStaticCredentialsProvider(account, "test", ""), region)
}

// AssumeRole returns what an AWS client needs to act with a session of a role, given by its ARN. The session is asked for
// as the management account's administrator.
func (e *Emulator) AssumeRole(ctx context.Context, roleARN, externalID, region string) (aws.Config, error) {
	input := &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: aws.String("test")}
	if externalID != "" {
		input.ExternalId = &externalID
	}
	answer, err := sts.NewFromConfig(e.Config(ManagementAccount, DefaultRegion)).AssumeRole(ctx, input)
	if err != nil {
		return aws.Config{}, fmt.Errorf("assuming %s: %w", roleARN, err)
	}
	if answer.Credentials == nil {
		return aws.Config{}, fmt.Errorf("assuming %s: the answer holds no credentials", roleARN)
	}
	c := answer.Credentials
	return e.configWith(credentials.NewStaticCredentialsProvider(aws.ToString(c.AccessKeyId),
		aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken)), region), nil
}

func (e *Emulator) configWith(provider aws.CredentialsProvider, region string) aws.Config {
	if region == "" {
		region = DefaultRegion
	}
	address := strings.TrimPrefix(e.Proxy, "http://")
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
		}
	})
	return aws.Config{
		Region:       region,
		Credentials:  provider,
		BaseEndpoint: &e.URL,
		HTTPClient:   cloud.WholeBodies(client),
		AppID:        "outsider",
	}
}

// splitPath splits "plumbline/PlumblineAudit" into IAM's path "/plumbline/" and the name.
func splitPath(pathAndName string) (path, name string, err error) {
	trimmed := strings.Trim(pathAndName, "/")
	if trimmed == "" {
		return "", "", errors.New("an IAM name is empty")
	}
	at := strings.LastIndex(trimmed, "/")
	if at < 0 {
		return "/", trimmed, nil
	}
	return "/" + trimmed[:at+1], trimmed[at+1:], nil
}

package cloud

import (
	"fmt"
	"net/url"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// address is a queue's place, as its URL says it.
type address struct{ url, region, account, name string }

var (
	// sqsHosts are the hosts of SQS's endpoints with the region in them: the usual ones, FIPS, dual-stack, VPC endpoints and the
	// older form ("Amazon Simple Queue Service endpoints and quotas").
	sqsHosts = []*regexp.Regexp{
		regexp.MustCompile(`^(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu)$`),
		regexp.MustCompile(`^sqs(?:-fips)?\.([a-z0-9-]+)\.(?:api\.aws|api\.amazonwebservices\.com\.cn)$`),
		regexp.MustCompile(`^([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?$`),
	}
	queuePath = regexp.MustCompile(`^/([0-9]{12})/([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$`)
)

// addressOf reads a queue's URL. With an endpoint configured (AWS_ENDPOINT_URL) another host is fine, and the region is that
// of the configuration.
func addressOf(base aws.Config, raw string) (address, error) {
	a, problem := readAddress(base, raw)
	if problem != "" {
		return address{}, fmt.Errorf("the event queue's URL %q %s; it looks like https://sqs.eu-central-1.amazonaws.com/111122223333/plumbline-events",
			control.Bounded(raw, 256), problem)
	}
	return a, nil
}

func readAddress(base aws.Config, raw string) (a address, problem string) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return a, "is no URL of a queue"
	}
	path := queuePath.FindStringSubmatch(u.Path)
	if path == nil {
		return a, "does not end in an account's id and a queue's name"
	}
	a = address{url: raw, account: path[1], name: path[2], region: regionOfHost(u.Hostname())}
	if base.BaseEndpoint == nil && (a.region == "" || u.Scheme != "https") {
		return a, "is not the https address of SQS in a region"
	}
	if a.region = firstOf(a.region, base.Region); a.region == "" {
		return a, "names no region, and AWS_REGION is not set"
	}
	return a, ""
}

// regionOfHost is the region in the name of an endpoint of SQS; empty for any other host.
func regionOfHost(host string) string {
	if host == "queue.amazonaws.com" {
		return "us-east-1"
	}
	for _, form := range sqsHosts {
		if found := form.FindStringSubmatch(host); found != nil {
			return regionName(found[1])
		}
	}
	return ""
}

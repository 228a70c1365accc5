package scale

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultRegions are the 17 regions that AWS enables in every account ("AWS Regions", AWS Account Management reference).
func DefaultRegions() []string {
	return []string{
		"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
		"ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1",
		"sa-east-1",
	}
}

// firstAccount is the id of the first account; the others follow it.
const firstAccount = 200_000_000_000

// Account is the id of the i-th account, counted from 0.
func Account(i int) string { return strconv.Itoa(firstAccount + i) }

// Management is the organization's management account, Administrator the delegated administrator of GuardDuty.
func Management() string { return Account(0) }

// Administrator is the delegated administrator of GuardDuty.
func Administrator() string { return Account(1) }

// What the organization's trail is set to.
const (
	TrailName   = "org-trail"
	TrailRegion = "eu-central-1"
	TrailBucket = "acme-log-archive"
)

// TrailKey is the ARN of the key that the trail encrypts with, TrailLogGroup and TrailRole where it delivers to.
func TrailKey() string {
	return "arn:aws:kms:" + TrailRegion + ":" + Management() + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
}

// TrailLogGroup is the ARN of the log group that the trail delivers to.
func TrailLogGroup() string {
	return "arn:aws:logs:" + TrailRegion + ":" + Management() + ":log-group:org-trail"
}

// TrailRole is the ARN of the role that the trail delivers to the log group with.
func TrailRole() string { return "arn:aws:iam::" + Management() + ":role/cloudtrail-to-logs" }

// hash mixes strings to a number that looks drawn at random and is always the same (FNV-1a, and the finalizer of
// MurmurHash3, for FNV alone hardly changes its upper half with the last letter).
func hash(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * 1099511628211
		}
		h = (h ^ '/') * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// departs says whether a setting of something in the account departs: always or never.
func (c *Cloud) departs(account, setting, of string) bool {
	share, apart := c.Drifts[setting]
	if !apart {
		share = c.Drift
	}
	return share > 0 && float64(hash(account, setting, of)>>11)/(1<<53) < share
}

// ago is a date that many days before the stand-in was made.
func (c *Cloud) ago(days int) time.Time { return c.since.Add(-time.Duration(days) * 24 * time.Hour) }

// bucketName is the name of an account's i-th bucket; bucketRegion is where it lies.
func bucketName(account string, i int) string { return fmt.Sprintf("data-%02d-%s", i, account) }

func (c *Cloud) bucketRegion(name string) string {
	return c.Regions[hash(name)%uint64(len(c.Regions))]
}

// CallOf is the call that a request makes: whose it is follows from the credentials it was signed with.
func CallOf(authorization, region string) Call {
	call := Call{Account: Manager, Region: region}
	if _, key, ok := strings.Cut(authorization, "Credential="+keyPrefix); ok && len(key) > 12 {
		call.Account = key[:12]
		generation, _, _ := strings.Cut(key[12:], "/")
		call.Generation, _ = strconv.ParseInt(generation, 10, 64)
	}
	return call
}

package cloud

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestARequestIsOwnForAnHourAtLeastAndIsForgottenThen(t *testing.T) {
	for name, tc := range map[string]struct {
		sentAfter, askedAfter time.Duration
		own                   bool
	}{
		"right after it":                          {0, time.Second, true},
		"an hour after it":                        {59 * time.Minute, 119 * time.Minute, true},
		"an hour after one of a new generation":   {60 * time.Minute, 120 * time.Minute, true},
		"a day after it":                          {0, 24 * time.Hour, false},
		"after the next generation but one began": {0, 130 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := began
			c := &Cloud{requests: newRequests(), clock: func() time.Time { return now }}
			for i := 0; now.Sub(began) <= tc.askedAfter; i++ {
				c.requests.remember(Attempt{RequestID: fmt.Sprint("other ", i)}, false, span{now, now})
				if now.Sub(began) <= tc.sentAfter && tc.sentAfter < now.Sub(began)+10*time.Minute {
					at := began.Add(tc.sentAfter)
					c.requests.remember(Attempt{RequestID: "mine"}, false, span{at, at})
				}
				now = now.Add(10 * time.Minute)
			}
			now = began.Add(tc.askedAfter)
			if got := c.Own("mine"); got != tc.own {
				t.Errorf("own: %t", got)
			}
			if c.Own("somebody else's") || c.Own("") {
				t.Error("a request that was never sent is own")
			}
			if sent := began.Add(tc.sentAfter); !c.OwnSince().After(sent) != tc.own {
				t.Errorf("sent %v, remembered since %v", sent, c.OwnSince())
			}
		})
	}
}

// A standby starts long before it leads. What the leader sent meanwhile is not held against anybody.
func TestTheMemoryBeginsWithTheFirstRequest(t *testing.T) {
	now := began
	c := &Cloud{requests: newRequests(), clock: func() time.Time { return now }}
	now = began.Add(48 * time.Hour)
	if got := c.OwnSince(); !got.Equal(now) {
		t.Errorf("before the first request: since %v", got)
	}
	c.requests.begin(now)
	first := now
	now = now.Add(30 * time.Minute)
	if got := c.OwnSince(); !got.Equal(first) {
		t.Errorf("after the first request: since %v", got)
	}
}

func TestTooManyReadsAreNotJudgedAndWritesStillAre(t *testing.T) {
	now := began
	c := &Cloud{requests: newRequests(), clock: func() time.Time { return now }}
	known := func() []bool { return []bool{c.ReadsKnown(), c.Own("read"), c.Own("write")} }
	for i := range mostReads {
		c.requests.remember(Attempt{RequestID: strconv.Itoa(i)}, false, span{now, now})
	}
	if diff := cmp.Diff([]bool{true, false, false}, known()); diff != "" {
		t.Errorf("while there is room (-want +got):\n%s", diff)
	}
	c.requests.remember(Attempt{RequestID: "read"}, false, span{now, now})
	c.requests.remember(Attempt{RequestID: "write"}, true, span{now, now})
	if diff := cmp.Diff([]bool{false, false, true}, known()); diff != "" {
		t.Errorf("when there is none (-want +got):\n%s", diff)
	}
	for i := range 2 {
		now = now.Add(rememberFor)
		if c.requests.begin(now); c.ReadsKnown() != (i == 1) {
			t.Errorf("%d hours later: known %t; what was not remembered is in question for as long as what was", i+1, c.ReadsKnown())
		}
	}
}

func TestAnAttemptWithoutAnAnswerExplainsEventsAroundIt(t *testing.T) {
	now := began
	c := &Cloud{requests: newRequests(), clock: func() time.Time { return now }}
	ended := began.Add(10 * time.Second)
	c.requests.remember(Attempt{Account: "1", Service: "S3 Control", Operation: "GetPublicAccessBlock", Outcome: OutcomeError}, false, span{began, ended})
	c.requests.remember(Attempt{Account: "1", Service: "EC2", Operation: "DescribeRegions", Outcome: OutcomeError, RequestID: "answered"}, false, span{began, ended})
	later := began.Add(50 * time.Minute)
	c.requests.remember(Attempt{Account: "1", Service: "S3", Operation: "ListBuckets", Outcome: OutcomeError}, false, span{later, later})
	for name, tc := range map[string]struct {
		account, service string
		at               time.Time
		want             bool
	}{
		"at once":                              {"1", "s3", began, true},
		"five minutes before it":               {"1", "s3", began.Add(-5 * time.Minute), true},
		"five minutes after its end":           {"1", "s3", ended.Add(5 * time.Minute), true},
		"a second later":                       {"1", "s3", ended.Add(5*time.Minute + time.Second), false},
		"around a later one":                   {"1", "s3", later, true},
		"another account":                      {"2", "s3", began, false},
		"another service":                      {"1", "iam", began, false},
		"a service that answered, if with 5xx": {"1", "ec2", began, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.MayBeOwn(tc.account, tc.service, tc.at); got != tc.want {
				t.Errorf("may be own: %t", got)
			}
		})
	}
}

func TestAttemptsWithoutAnswersAreBounded(t *testing.T) {
	now := began
	c := &Cloud{requests: newRequests(), clock: func() time.Time { return now }}
	for i := range mostUnanswered + 1 {
		c.requests.remember(Attempt{Account: strconv.Itoa(i), Service: "S3", Outcome: OutcomeError}, false, span{now, now})
	}
	if n := len(c.requests.current.unanswered); n != mostUnanswered || !c.MayBeOwn("one that was not remembered", "s3", now) {
		t.Errorf("%d are remembered, and what was not may not be own", n)
	}
}

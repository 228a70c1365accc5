package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Half of all calls are throttled, the first of each two: that takes longer, and is seen in no finding.
func TestThrottlingIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		times := map[string]int{}
		l.Break(func(_ int, call cloudtest.Call) error {
			key := call.Region + call.Operation + call.Role
			times[key]++
			return cloudtest.Every(2, cloudtest.Throttled())(times[key]+1, call)
		})
		var tasks []Task
		for i := range 10 {
			region := fmt.Sprintf("eu-test-%d", i)
			l.leave(member, region, "v")
			tasks = append(tasks, enforced(l.encrypted(), region))
		}
		compare(t, "findings", []string{}, reasons(l.run(member, tasks...)))
		compare(t, "changed", 10, len(l.changed()))
	})
}

// What could not be read for want of good credentials is unknown, and the next call has new ones.
func TestCredentialsThatExpireInMidPassAreNoAnswer(t *testing.T) {
	l := newLake(t, Limits{Parallel: 1})
	l.leave(member, frankfurt, "v")
	l.Break(func(_ int, call cloudtest.Call) error {
		if call.Region == ireland && call.Service == "EC2" {
			return cloudtest.Expired()
		}
		return nil
	})
	tasks := []Task{audited(l.encrypted(), ireland), audited(l.encrypted(), frankfurt)}
	compare(t, "findings", []string{"eu-west-1  Unknown" + control.ReasonCredentials, "eu-central-1 v Audit"}, reasons(l.run(member, tasks...)))
	compare(t, "sessions", 2, len(l.Sessions()))
	l.Break(nil)
	compare(t, "the next pass", []string{"eu-central-1 v Audit"}, reasons(l.run(member, tasks...)))
}

// An account whose role nobody lets in costs its own checks their answers and nobody else's, and STS is not taken for down.
func TestSTSThatRefusesOneAccountIsAskedForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		l.Break(func(_ int, call cloudtest.Call) error {
			if call.Service == "STS" {
				return cloudtest.Refused()
			}
			return nil
		})
		for i := range 30 {
			res := l.run(fmt.Sprintf("%012d", i), audited(l.encrypted(), ireland))
			if res[0].State() != Unknown || res[0].Findings[0].Reason != "RoleRefused" {
				t.Fatalf("account %d: %v", i, reasons(res))
			}
		}
		compare(t, "circuits that opened", 0, l.entrance.OpenCircuits())
		l.Break(nil)
		compare(t, "the next account", []string{}, reasons(l.run(member, audited(l.encrypted(), ireland))))
	})
}

// A write that got no answer may have been made: it has failed until a new look tells, and is not sent again and again.
func TestAWriteWithoutAnAnswerIsNotTakenForDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t, Limits{})
		l.entrance.BePatient(cloud.Patience{Read: 10 * time.Second, Write: time.Minute}) // the change ends before the attempt
		l.leave(member, ireland, "v")
		l.Break(func(_ int, call cloudtest.Call) error {
			if call.Operation == "EnableEbsEncryptionByDefault" {
				return cloudtest.ErrHang
			}
			return nil
		})
		began := time.Now()
		compare(t, "findings", []string{"eu-west-1 v RemediationFailed failed"}, reasons(l.run(member, enforced(l.encrypted(), ireland))))
		writes := 0
		for _, call := range l.Calls() {
			if call.Operation == "EnableEbsEncryptionByDefault" {
				writes++
			}
		}
		if took := time.Since(began); took != writeTimeout || writes != 1 {
			t.Errorf("%d writes in %v", writes, took)
		}
	})
}

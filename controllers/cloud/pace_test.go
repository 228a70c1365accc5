package cloud

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// reports is a stage for the calls that make credential reports.
type reports struct {
	limiters
	now time.Time
}

// ask is what an account is told that wants its report made: "" when it may, else since when it may, in seconds after began.
func (r *reports) ask(account string) string {
	err := r.wait(context.Background(), Attempt{Account: account, Region: "us-east-1", Service: "IAM", Operation: "GenerateCredentialReport"}, r.now)
	var later *control.LaterError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &later) || !errors.Is(err, control.ErrRateLimit):
		return err.Error()
	case later.Made:
		return "made; " + later.Until.Sub(began).String()
	}
	return later.Until.Sub(began).String()
}

func (r *reports) hear(account, outcome string) {
	r.heard(Attempt{Account: account, Region: "us-east-1", Service: "IAM", Operation: "GenerateCredentialReport", Outcome: outcome}, r.now)
}

func TestTheAccountsTakeTurnsAtCredentialReports(t *testing.T) {
	r := reports{now: began}
	var told []string
	for i := range 8 {
		told = append(told, r.ask(strconv.Itoa(i)))
	}
	if diff := cmp.Diff([]string{"", "", "", "", "", "2s", "4s", "6s"}, told); diff != "" {
		t.Errorf("told at once (-want +got):\n%s", diff)
	}
	for i := range 5 {
		r.hear(strconv.Itoa(i), OutcomeOK)
	}
	r.now = began.Add(3 * time.Second)
	told = nil
	for _, account := range []string{"7", "6", "5", "0", "8"} { // each keeps its turn, whoever comes first
		told = append(told, r.ask(account))
	}
	if diff := cmp.Diff([]string{"6s", "4s", "", "made; 4h0m0s", "8s"}, told); diff != "" {
		t.Errorf("told three seconds later (-want +got):\n%s", diff)
	}
	r.now = began.Add(4*time.Hour + time.Second)
	if got := r.ask("0"); got != "" {
		t.Errorf("four hours after its report was made: %s", got)
	}
}

func TestAReportThatAWSDidNotAcceptIsAskedForAgain(t *testing.T) {
	for name, outcome := range map[string]string{"no capacity": OutcomeThrottled, "no answer": OutcomeError, "refused": OutcomeDenied} {
		t.Run(name, func(t *testing.T) {
			r := reports{now: began}
			_ = r.ask("0")
			r.hear("0", outcome)
			if got := r.ask("0"); got != "" {
				t.Errorf("told: %s", got)
			}
		})
	}
}

func TestAnAccountThatDoesNotComeLosesItsTurn(t *testing.T) {
	r := reports{now: began}
	for i := range 6 {
		_ = r.ask(strconv.Itoa(i))
	}
	for i := range 5 {
		r.now = began.Add(time.Hour)
		if got := r.ask(strconv.Itoa(10 + i)); got != "" {
			t.Errorf("an hour later: %s", got)
		}
	}
	if got := r.ask("5"); got != "1h0m2s" {
		t.Errorf("its turn of an hour ago: %q", got)
	}
}

// 5,000 accounts are through within the four hours that a report is good for, each with one call and one turn.
func TestFiveThousandAccountsHaveTheirReportsWithinFourHours(t *testing.T) {
	r := reports{now: began}
	var last time.Duration
	for i := range 5000 {
		if told := r.ask(strconv.Itoa(i)); told != "" {
			var err error
			if last, err = time.ParseDuration(told); err != nil {
				t.Fatal(told)
			}
		}
	}
	if last != 4995*2*time.Second || last > reportGoodFor {
		t.Errorf("the last has its turn after %v", last)
	}
}

func TestWhoWaitsForATurnIsBounded(t *testing.T) {
	r := reports{now: began}
	for i := range mostPaced + 10 {
		_ = r.ask(strconv.Itoa(i))
		r.hear(strconv.Itoa(i), OutcomeOK)
	}
	if n := len(r.pace.accounts); n > mostPaced {
		t.Errorf("%d accounts are remembered", n)
	}
	r.now = began.Add(100 * time.Hour)
	if _ = r.ask("one more"); len(r.pace.accounts) > 10 {
		t.Errorf("%d accounts are remembered long after their turns", len(r.pace.accounts))
	}
}

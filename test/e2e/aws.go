package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// mark is a place in the request log: what is asked for since then came later.
func (s *scene) mark(ctx context.Context) int {
	GinkgoHelper()
	_, last, err := shared.emulator.Requests(ctx, stack.Query{Service: []string{"none"}})
	Expect(err).NotTo(HaveOccurred())
	return last
}

// requests are the entries of the request log that the query selects.
func (s *scene) requests(ctx context.Context, q stack.Query) []stack.Request {
	GinkgoHelper()
	all, _, err := shared.emulator.Requests(ctx, q)
	Expect(err).NotTo(HaveOccurred())
	return all
}

// writes are the attempts since a mark to change anything, by whomever, one line each:
// "ec2:EnableEbsEncryptionByDefault 111122223333 eu-west-1".
func (s *scene) writes(ctx context.Context, since int) []string {
	GinkgoHelper()
	return lines(s.requests(ctx, stack.Query{Since: since, Writes: ptr.To(true)}))
}

// done are those of the writes that reached the service.
func (s *scene) done(ctx context.Context, since int) []string {
	GinkgoHelper()
	var executed []stack.Request
	for _, r := range s.requests(ctx, stack.Query{Since: since, Writes: ptr.To(true)}) {
		if r.Executed {
			executed = append(executed, r)
		}
	}
	return lines(executed)
}

func lines(requests []stack.Request) []string {
	var all []string
	for _, r := range requests {
		all = append(all, call(r.Service+":"+r.Operation, r.Account, r.Region))
	}
	return all
}

// call is how lines writes a call.
func call(operation, account, region string) string { return operation + " " + account + " " + region }

// inEach is a call in each of the accounts and regions.
func inEach(operation string, accounts, regions []string) []string {
	var all []string
	for _, a := range accounts {
		for _, r := range regions {
			all = append(all, call(operation, a, r))
		}
	}
	return all
}

// rule lays down what happens to some calls, and returns how to lift it.
func (s *scene) rule(ctx context.Context, r stack.Rule) (lift func(context.Context)) {
	GinkgoHelper()
	id, err := shared.emulator.AddRule(ctx, r)
	Expect(err).NotTo(HaveOccurred())
	return func(ctx context.Context) {
		GinkgoHelper()
		Expect(shared.emulator.DeleteRule(ctx, id)).To(Succeed())
	}
}

// in matches a service's operations in one account and region. An empty region is any.
func in(account, region, service string, operations ...string) stack.Match {
	m := stack.Match{Account: []string{account}, Service: []string{service}, Operation: operations}
	if region != "" {
		m.Region = []string{region}
	}
	return m
}

// A held is a call that is kept waiting.
type held struct {
	rule string
	id   string
}

// hold keeps the first call that matches waiting, before it is executed or before it is answered. The first skip matches
// pass.
func (s *scene) hold(ctx context.Context, when stack.Action, m stack.Match, skip int) *held {
	GinkgoHelper()
	id, err := shared.emulator.AddRule(ctx, stack.Rule{Match: m, Action: when, Times: 1, Skip: skip})
	Expect(err).NotTo(HaveOccurred())
	return &held{rule: id}
}

// await waits until the call has come.
func (h *held) await(ctx context.Context) {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	call, err := shared.emulator.AwaitHeld(ctx, h.rule)
	Expect(err).NotTo(HaveOccurred())
	h.id = call.ID
}

// release lets the call go on.
func (h *held) release(ctx context.Context) {
	GinkgoHelper()
	Expect(shared.emulator.Release(ctx, h.id, false)).To(Succeed())
}

// drop closes the connection: one that is held before it is executed never is.
func (h *held) drop(ctx context.Context) {
	GinkgoHelper()
	Expect(shared.emulator.Release(ctx, h.id, true)).To(Succeed())
}

// set sets what no AWS API can set; the keys are those of test/emulator/README.md.
func (s *scene) setState(ctx context.Context, settings ...map[string]any) {
	GinkgoHelper()
	Expect(shared.emulator.SetState(ctx, settings...)).To(Succeed())
}

// sessions are the role sessions that were given out for a role, by the name of the role.
func (s *scene) sessions(ctx context.Context, role string) []stack.Session {
	GinkgoHelper()
	all, err := shared.emulator.Sessions(ctx)
	Expect(err).NotTo(HaveOccurred())
	var found []stack.Session
	for _, one := range all {
		if one.Role == role {
			found = append(found, one)
		}
	}
	return found
}

// The names of the roles in the request log.
const (
	auditRole   = "PlumblineAudit"
	enforceRole = "PlumblineEnforce"
)

// roleARN is the ARN of one of the roles in an account.
func roleARN(account, role string) string {
	return fmt.Sprintf("arn:aws:iam::%s:role/plumbline/%s", account, role)
}

// newSessions are the sessions that were given out since there were n of them.
func (s *scene) newSessions(ctx context.Context, n int) []stack.Session {
	GinkgoHelper()
	all, err := shared.emulator.Sessions(ctx)
	Expect(err).NotTo(HaveOccurred())
	return all[n:]
}

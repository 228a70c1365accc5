package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Discovery", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})

	It("makes an AWSAccount of every account, with what AWS Organizations says of it", func(ctx SpecContext) {
		workloads, prod := s.organization.OUs["Workloads"], s.organization.OUs["Workloads/Prod"]
		a := s.account(ctx, payProd)
		Expect(a.Labels).To(Equal(map[string]string{
			v1alpha1.LabelOrganization: organizationName, "tier": "prod",
			v1alpha1.LabelOUPrefix + s.organization.RootID: "", v1alpha1.LabelOUPrefix + workloads: "", v1alpha1.LabelOUPrefix + prod: "",
		}))
		joined := a.Annotations[v1alpha1.AnnotationJoinedAt]
		Expect(time.Parse(time.RFC3339, joined)).To(BeTemporally("~", time.Now(), time.Hour))
		Expect(a.Annotations).To(Equal(map[string]string{
			v1alpha1.AnnotationName: "pay-prod", v1alpha1.AnnotationOUPath: "Root/Workloads/Prod",
			v1alpha1.AnnotationState: "ACTIVE", v1alpha1.AnnotationJoinedAt: joined,
		}))
		Expect(a.OwnerReferences).To(BeEmpty())
		Expect(a.Finalizers).To(BeEmpty())

		var all v1alpha1.AWSAccountList
		Expect(shared.client.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelOrganization: organizationName})).To(Succeed())
		Expect(all.Items).To(HaveLen(len(everywhere)))
		Expect(kubectl(ctx, "get", "awsorg", organizationName)).To(MatchRegexp(`main +123456789012 +7 +True +Succeeded`))
	})

	It("keeps an e-mail address out of the cluster", func(ctx SpecContext) {
		Expect(kubectl(ctx, "get", "awsacct,awsorg", "-o", "yaml", "--show-managed-fields")).NotTo(ContainSubstring("@example.com"))
	})

	It("keeps a label that a person set, and says where it would have set another", func(ctx SpecContext) {
		kubectl(ctx, "label", "awsacct", payProd, "team=payments")
		kubectl(ctx, "label", "--overwrite", "awsacct", payProd, "tier=gold")
		Expect(shared.emulator.SeedAccount(ctx, s.organization, stack.AccountSeed{ID: "333344445555", Name: "newcomer"})).To(Succeed())
		s.discover(ctx)
		message := s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionLabelConflict,
			metav1.ConditionTrue, v1alpha1.ReasonOwnedByOthers)
		Expect(message).To(ContainSubstring(payProd + ": tier"))
		// The new account shows that the list was acted on.
		Eventually(func(g Gomega) { s.accountWith(ctx, g, "333344445555") }).WithContext(ctx).Should(Succeed())
		Expect(s.account(ctx, payProd).Labels).To(And(HaveKeyWithValue("team", "payments"), HaveKeyWithValue("tier", "gold")))
		Expect(s.account(ctx, shopProd).Labels).To(HaveKeyWithValue("tier", "prod"))
	})

	It("survives empty pages and pages of one account", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"list_accounts_page_size": 1, "list_accounts_empty_pages": 2})
		Expect(shared.emulator.SeedAccount(ctx, s.organization, stack.AccountSeed{ID: "333344446666", Name: "second"})).To(Succeed())
		s.discover(ctx)
		Eventually(func(g Gomega) { s.accountWith(ctx, g, "333344446666") }).WithContext(ctx).Should(Succeed())
		Expect(s.account(ctx, logArchive).Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationState, "ACTIVE"))
	})

	It("marks an account that left, and one that AWS suspended, and touches neither", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Audit
			ebsDefault: {state: Enabled}`)
		s.awaitState(ctx, v1alpha1.AccountDrifted, everywhere...)
		s.setState(ctx, map[string]any{"account": webProd, "removed": true})
		s.setState(ctx, map[string]any{"account": logArchive, "organization_state": "SUSPENDED"})
		s.discover(ctx)
		s.awaitState(ctx, v1alpha1.AccountLeft, webProd)
		s.awaitState(ctx, v1alpha1.AccountSuspended, logArchive)
		for _, id := range []string{webProd, logArchive} {
			a := s.account(ctx, id)
			Expect(a.Status.Drift).To(BeEmpty())
			Expect(a.Status.Checks).To(Equal(v1alpha1.CheckCounts{}))
		}

		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {all: true}
			ebsDefault: {state: Enabled}`)
		others := []string{payProd, shopProd, dataProd, security}
		t := s.ask(ctx)
		s.awaitAnswer(ctx, t, append([]string{management}, others...)...)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, others, regions)))
		Expect(s.requests(ctx, stack.Query{Since: mark, Account: []string{webProd, logArchive}})).To(BeEmpty())
		Expect(s.requests(ctx, stack.Query{Since: mark, Operation: []string{"AssumeRole"}, Resource: []string{
			roleARN(webProd, "*"), roleARN(logArchive, "*"),
		}})).To(BeEmpty())
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, g, "AWSOrganization", organizationName).Object).To(HaveKeyWithValue("status",
				And(HaveKeyWithValue("left", BeEquivalentTo(1)), HaveKeyWithValue("suspended", BeEquivalentTo(1)))))
		}).WithContext(ctx).Should(Succeed())
	})

	It("works on an account again that is active again", func(ctx SpecContext) {
		s.setState(ctx, map[string]any{"account": logArchive, "organization_state": "ACTIVE"})
		s.discover(ctx)
		s.awaitState(ctx, v1alpha1.AccountCompliant, logArchive)
	})

	It("refuses a second AWSOrganization", func(ctx SpecContext) {
		s.declare(ctx, "AWSOrganization", "second", `
			managementAccount: "999999999999"`)
		s.awaitCondition(ctx, "AWSOrganization", "second", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonOneOrganizationOnly)
		s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	})
})

var _ = Describe("A list of accounts that cannot be right", Ordered, func() {
	s := stage(plot{liar: "ORGANIZATIONS"})
	newcomers := func() (ids []string) {
		for i := range 7 {
			ids = append(ids, fmt.Sprintf("44445555000%d", i))
		}
		return ids
	}()
	left := func(ctx SpecContext) []string {
		var all v1alpha1.AWSAccountList
		Expect(shared.client.List(ctx, &all)).To(Succeed())
		var ids []string
		for _, a := range all.Items {
			if a.Annotations[v1alpha1.AnnotationState] == "LEFT" {
				ids = append(ids, a.Name)
			}
		}
		return ids
	}

	It("is refused when more than five accounts, and more than 2 %, would be gone at once", func(ctx SpecContext) {
		for _, id := range newcomers {
			Expect(shared.emulator.SeedAccount(ctx, s.organization, stack.AccountSeed{ID: id, Name: "account " + id})).To(Succeed())
		}
		s.discover(ctx)
		for _, id := range newcomers {
			Eventually(func(g Gomega) { s.accountWith(ctx, g, id) }).WithContext(ctx).Should(Succeed())
		}
		for _, id := range newcomers[:6] {
			s.setState(ctx, map[string]any{"account": id, "removed": true})
		}
		s.discover(ctx)
		message := s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryRefused)
		Expect(message).To(HavePrefix("6 of 14 accounts would have left at once; nothing was changed"))
		Expect(left(ctx)).To(BeEmpty())
	})

	It("is believed once a person has taken one of them out", func(ctx SpecContext) {
		s.withdraw(ctx, "awsacct", newcomers[0])
		s.discover(ctx)
		s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		s.awaitState(ctx, v1alpha1.AccountLeft, newcomers[1:6]...)
		Expect(left(ctx)).To(ConsistOf(newcomers[1:6]))
	})

	It("is refused when it cannot be read, with the code, the action, the role and the next step", func(ctx SpecContext) {
		lift := s.rule(ctx, stack.Rule{
			Match: in(management, "", "organizations", "ListAccounts"), Action: stack.ActionError, Code: "auto", Why: "identity",
		})
		s.discover(ctx)
		message := s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryFailed)
		for _, part := range []string{"AccessDeniedException", "organizations:ListAccounts", roleARN(management, auditRole), "allow "} {
			Expect(message).To(ContainSubstring(part))
		}
		lift(ctx)
	})

	It("is refused when it is empty", func(ctx SpecContext) {
		s.liar.answers("ListAccounts", `{"Accounts": []}`)
		s.discover(ctx)
		message := s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryRefused)
		Expect(message).To(HavePrefix("AWS Organizations listed no account at all"))
		Expect(left(ctx)).To(ConsistOf(newcomers[1:6]))
		Expect(strings.Count(kubectl(ctx, "get", "awsacct", "--no-headers"), "\n")).To(Equal(13))
	})

	It("is refused when its pages repeat for ever", func(ctx SpecContext) {
		s.liar.answers("ListAccounts", `{"Accounts": [{"Id": "`+payProd+`"}], "NextToken": "again"}`)
		s.discover(ctx)
		s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDiscoveryFailed)
		Expect(left(ctx)).To(ConsistOf(newcomers[1:6]))
	})

	It("is believed again when it is right again", func(ctx SpecContext) {
		s.liar.answers("ListAccounts", "")
		s.discover(ctx)
		s.awaitCondition(ctx, "AWSOrganization", organizationName, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	})
})

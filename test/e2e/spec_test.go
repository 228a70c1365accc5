package e2e

import (
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

var _ = Describe("What a person declared", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	objects := [][2]string{
		{"EncryptionBaseline", "organization"}, {"S3Baseline", "organization"}, {"BaselineException", "workshop"},
		{"AWSOrganization", organizationName}, {"AWSAccount", shopProd}, {"AWSAccount", payProd},
	}
	// asDeclared are the spec's bytes and the generation of each object.
	asDeclared := func(ctx SpecContext) map[string]string {
		GinkgoHelper()
		all := map[string]string{}
		for _, o := range objects {
			u := get(ctx, Default, o[0], o[1])
			spec, err := json.Marshal(u.Object["spec"])
			Expect(err).NotTo(HaveOccurred())
			generation, err := json.Marshal(u.GetGeneration())
			Expect(err).NotTo(HaveOccurred())
			all[o[0]+"/"+o[1]] = string(generation) + " " + string(spec)
		}
		return all
	}

	It("keeps its bytes and its owner through drift, repair, exception and many passes", func(ctx SpecContext) {
		s.except(ctx, "workshop", time.Hour, `
			controls: [`+ebsDefault+`]
			accounts: {include: ["`+payProd+`"]}`)
		s.declare(ctx, "AWSAccount", shopProd, `
			roles: {audit: "`+roleARN(shopProd, auditRole)+`"}`)
		s.declare(ctx, "S3Baseline", "organization", `
			accountPublicAccessBlock: {state: Enabled}`)
		// Written as a person might: an odd order, defaults spelt out, durations in other units.
		s.declare(ctx, "EncryptionBaseline", "organization", `
			resourceInterval: 1440m
			interval: 3600s
			kmsRotation: {periodDays: 365, state: Enabled, exclude: [alias/z, alias/a]}
			ebsDefault: {state: Enabled, mode: Enforce}
			accounts: {exclude: ["`+management+`"], include: ["`+shopProd+`", "`+payProd+`"]}`)
		s.recheck(ctx, shopProd) // the first repair is over: what is changed while it is verified looks as if AWS did not show it yet
		before := asDeclared(ctx)
		for _, region := range regions {
			setFlag(ctx, false, shopProd, region)
			s.discover(ctx)
			s.recheck(ctx)
			Expect(flag(ctx, shopProd, region)).To(BeTrue())
		}
		s.kill()
		s.start(ctx)
		s.recheck(ctx)
		Expect(asDeclared(ctx)).To(Equal(before))
		for _, o := range objects {
			Expect(specOwners(get(ctx, Default, o[0], o[1]))).NotTo(ContainElement(HavePrefix("plumbline")), o[0])
		}
	})

	It("has a generation of 1 and no spec on an account that discovery made", func(ctx SpecContext) {
		u := get(ctx, Default, "AWSAccount", payProd)
		Expect(u.GetGeneration()).To(BeEquivalentTo(1))
		Expect(u.Object["spec"]).To(BeNil())
		Expect(specOwners(u)).To(BeEmpty())
	})

	It("is not undone by discovery: the account that is declared by hand is entered as it says", func(ctx SpecContext) {
		s.declare(ctx, "AWSAccount", shopProd, `
			roles: {audit: "`+roleARN(shopProd, "Elsewhere")+`"}`)
		message := s.awaitCondition(ctx, "AWSAccount", shopProd, v1alpha1.ConditionReachable, metav1.ConditionFalse, v1alpha1.ReasonRoleRefused)
		Expect(message).To(ContainSubstring("Elsewhere"))
	})
})

// specOwners are the managers of an object's fields that own something of its spec.
func specOwners(u *unstructured.Unstructured) []string {
	var owners []string
	for _, entry := range u.GetManagedFields() {
		if entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:spec"`) {
			owners = append(owners, entry.Manager)
		}
	}
	return owners
}

package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/test/stack"
)

// removeRole deletes one of Plumbline's roles in an account.
func removeRole(ctx context.Context, account, role string) {
	GinkgoHelper()
	_, err := iam.NewFromConfig(shared.emulator.Config(account, virginia)).DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &role})
	Expect(err).NotTo(HaveOccurred())
}

// restoreRoles makes an account's roles again; neither may be there.
func restoreRoles(ctx context.Context, account string) {
	GinkgoHelper()
	Expect(shared.emulator.SeedRoles(ctx, account, stack.RoleSeed{ExternalID: externalID})).To(Succeed())
}

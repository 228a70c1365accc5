package guardduty

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// setLever is no patch: AWS demands autoEnableOrganizationMembers in every request, so that it is sent as it is now where
// it does not change. Features it merges.
func setLever(ctx context.Context, t *control.Target, to organizationChange) error {
	admin, err := administratorOf(t)
	if err != nil {
		return err
	}
	id, err := administratorDetector(ctx, admin)
	if err != nil {
		return err
	}
	now, err := readLever(ctx, admin, id)
	if err != nil {
		return err
	}
	features, err := writes(now.plans, to.Plans)
	if err != nil {
		return err
	}
	members := to.AutoEnable
	if members == "" {
		members = now.members.String()
	}
	_, err = guardduty.NewFromConfig(admin.AWS).UpdateOrganizationConfiguration(ctx, &guardduty.UpdateOrganizationConfigurationInput{
		DetectorId: &id, AutoEnableOrganizationMembers: types.AutoEnableMembers(members), Features: organizationFeatures(features),
	})
	if err != nil {
		return refused("setting the organization's configuration", err)
	}
	return nil
}

// delegation says which account is the administrator in a region (empty: none), and whether it is just ceasing to be.
type delegation struct {
	administrator string
	ending        bool
}

func delegationNow(ctx context.Context, management *control.Target) (delegation, error) {
	pages := guardduty.NewListOrganizationAdminAccountsPaginator(guardduty.NewFromConfig(management.AWS),
		&guardduty.ListOrganizationAdminAccountsInput{},
		func(o *guardduty.ListOrganizationAdminAccountsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var now delegation
	var next string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return delegation{}, fmt.Errorf("asking for the delegated administrator: %w", err)
		}
		for _, a := range page.AdminAccounts {
			switch a.AdminStatus {
			case types.AdminStatusEnabled, types.AdminStatusDisableInProgress:
				now = delegation{aws.ToString(a.AdminAccountId), a.AdminStatus == types.AdminStatusDisableInProgress}
			default:
				return delegation{}, control.Unexpected("ListOrganizationAdminAccounts", "a status that is known")
			}
		}
		next = aws.ToString(page.NextToken)
	}
	if next != "" {
		return delegation{}, control.Unexpected("ListOrganizationAdminAccounts", "an end")
	}
	return now, nil
}

// observeDelegation says whether the declared account is the administrator in the region. Where that cannot be told, the
// administrator's own answer to what follows shows it.
func observeDelegation(ctx context.Context, t *control.Target) ([]control.Finding, bool) {
	declared, resource := t.Facts.Administrators[service], t.ARN(service, "delegated-administrator")
	management, err := managementOf(t)
	if err != nil {
		return []control.Finding{control.Unreadable(resource, err)}, true
	}
	now, err := delegationNow(ctx, management)
	if err != nil {
		return []control.Finding{control.Unreadable(resource, err)}, true
	}
	f := control.Finding{Drift: control.Drift{
		Resource: resource, Risk: control.Disruptive,
		Fields: []control.Field{{Path: "delegatedAdministrator", Want: declared, Got: now.administrator}},
		Before: control.JSON(organizationChange{Region: t.Region}),
		After:  control.JSON(organizationChange{Region: t.Region, Administrator: declared}),
	}}
	switch {
	case now.ending:
		return []control.Finding{{
			Drift: control.Drift{Resource: resource}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: now.administrator + " is ceasing to be GuardDuty's delegated administrator in " + t.Region,
		}}, false
	case now.administrator == declared:
		return nil, true
	case now.administrator != "":
		f.Risk, f.Reason = control.ReportOnly, ReasonOtherAdministrator
		f.Message = now.administrator + " administers GuardDuty in " + t.Region + ": replacing it disassociates all members, which " +
			"is not done here — remove it in the management account, or declare it in the AWSOrganization"
	default:
		f.Fields[0].Got = "none"
	}
	return []control.Finding{f}, false
}

func delegate(ctx context.Context, t *control.Target, administrator string) error {
	management, err := managementOf(t)
	if err != nil {
		return err
	}
	now, err := delegationNow(ctx, management)
	switch {
	case err != nil:
		return err
	case now.administrator == administrator && !now.ending:
		return nil
	case now.administrator != "":
		return fmt.Errorf("%s is GuardDuty's delegated administrator in %s by now", now.administrator, t.Region)
	}
	_, err = guardduty.NewFromConfig(management.AWS).EnableOrganizationAdminAccount(ctx,
		&guardduty.EnableOrganizationAdminAccountInput{AdminAccountId: &administrator})
	if err != nil {
		return refused("naming the delegated administrator", err)
	}
	return nil
}

func undelegate(ctx context.Context, t *control.Target, administrator string) error {
	management, err := managementOf(t)
	if err != nil {
		return err
	}
	now, err := delegationNow(ctx, management)
	if err != nil {
		return err
	}
	if now.administrator != administrator || now.ending {
		return control.ErrChanged
	}
	_, err = guardduty.NewFromConfig(management.AWS).DisableOrganizationAdminAccount(ctx,
		&guardduty.DisableOrganizationAdminAccountInput{AdminAccountId: &administrator})
	if err != nil {
		return refused("taking the delegated administrator back", err)
	}
	return nil
}

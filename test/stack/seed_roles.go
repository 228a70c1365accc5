package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// The roles' path and name where a RoleSeed names no others; the product's defaults.
const (
	DefaultAuditRole   = "plumbline/PlumblineAudit"
	DefaultEnforceRole = "plumbline/PlumblineEnforce"
)

// A RoleSeed is the pair of roles through which the manager works in an account.
type RoleSeed struct {
	// Audit and Enforce are path and name. Default: the product's.
	Audit, Enforce string
	// NoEnforce leaves the enforce role out, as an account that is only audited does.
	NoEnforce bool
	// ExternalID is what the trust policies ask for.
	ExternalID string
	// TrustedPrincipal may assume the roles. Default: the management account.
	TrustedPrincipal string
	// Enforcer may assume them as well, and then nobody else the enforce role. Empty: there is none.
	Enforcer string
	// AuditPolicies and EnforcePolicies are policy documents by name, made as managed policies under the role's path and
	// attached.
	AuditPolicies, EnforcePolicies map[string]string
}

// SeedRoles makes the roles in one account.
func (e *Emulator) SeedRoles(ctx context.Context, account string, seed RoleSeed) error {
	if seed.Audit == "" {
		seed.Audit = DefaultAuditRole
	}
	if seed.Enforce == "" {
		seed.Enforce = DefaultEnforceRole
	}
	if seed.TrustedPrincipal == "" {
		seed.TrustedPrincipal = "arn:aws:iam::" + ManagementAccount + ":root"
	}
	client := iam.NewFromConfig(e.Config(account, DefaultRegion))
	roles := map[string]map[string]string{seed.Audit: seed.AuditPolicies}
	if !seed.NoEnforce {
		roles[seed.Enforce] = seed.EnforcePolicies
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		trust, err := trustPolicy(seed.trusted(role), seed.ExternalID)
		if err != nil {
			return err
		}
		if err := seedRole(ctx, client, role, trust); err != nil {
			return fmt.Errorf("seeding role %s of account %s: %w", role, account, err)
		}
		if err := seedPolicies(ctx, client, role, roles[role]); err != nil {
			return fmt.Errorf("seeding policies of role %s of account %s: %w", role, account, err)
		}
	}
	return nil
}

// trusted are who may assume a role.
func (s RoleSeed) trusted(role string) []string {
	switch {
	case s.Enforcer == "":
		return []string{s.TrustedPrincipal}
	case role == s.Enforce:
		return []string{s.Enforcer}
	}
	return []string{s.TrustedPrincipal, s.Enforcer}
}

func seedRole(ctx context.Context, client *iam.Client, role, trust string) error {
	path, name, err := splitPath(role)
	if err != nil {
		return err
	}
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{Path: &path, RoleName: &name, AssumeRolePolicyDocument: &trust})
	return err
}

// seedPolicies makes managed policies under the role's path and attaches them.
func seedPolicies(ctx context.Context, client *iam.Client, role string, documents map[string]string) error {
	path, name, err := splitPath(role)
	if err != nil {
		return err
	}
	for _, policy := range slices.Sorted(maps.Keys(documents)) {
		created, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{
			Path: &path, PolicyName: &policy, PolicyDocument: aws.String(documents[policy])})
		if err != nil {
			return fmt.Errorf("%s: %w", policy, err)
		}
		if created.Policy == nil {
			return fmt.Errorf("%s: the answer holds no policy", policy)
		}
		if _, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
			RoleName: &name, PolicyArn: created.Policy.Arn}); err != nil {
			return fmt.Errorf("%s: %w", policy, err)
		}
	}
	return nil
}

// trustPolicy lets principals assume a role when they know the external id.
func trustPolicy(principals []string, externalID string) (string, error) {
	type object = map[string]any
	statement := object{
		"Effect":    "Allow",
		"Principal": object{"AWS": principals},
		"Action":    "sts:AssumeRole",
	}
	if externalID != "" {
		statement["Condition"] = object{"StringEquals": object{"sts:ExternalId": externalID}}
	}
	document, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []object{statement}})
	if err != nil {
		return "", fmt.Errorf("writing a trust policy: %w", err)
	}
	return string(document), nil
}

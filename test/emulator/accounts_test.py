"""Organizations and STS."""

from __future__ import annotations

import json
from typing import Any

from .testing import MANAGEMENT, EmulatorTest, client, control

ONE, TWO, THREE = "1" * 12, "2" * 12, "3" * 12


class OrganizationsTest(EmulatorTest):
    def test_chosen_ids_states_and_paths(self) -> None:
        root = self.organization(ONE, TWO)
        organizations = client("organizations")
        unit = organizations.create_organizational_unit(ParentId=root, Name="workloads")["OrganizationalUnit"]["Id"]
        self.refused("DuplicateOrganizationalUnitException", organizations.create_organizational_unit, ParentId=root, Name="workloads")
        organizations.move_account(AccountId=ONE, SourceParentId=root, DestinationParentId=unit)
        self.refused("SourceParentNotFoundException", organizations.move_account, AccountId=ONE, SourceParentId=root, DestinationParentId=unit)
        self.state({"account": TWO, "organization_state": "SUSPENDED"}, {"account": ONE, "joined_at": "2026-01-02T03:04:05Z"})
        accounts = {account["Id"]: account for account in organizations.list_accounts()["Accounts"]}
        self.assertEqual(sorted(accounts), [ONE, MANAGEMENT, TWO])
        organization = organizations.describe_organization()["Organization"]["Id"]
        self.assertEqual(accounts[ONE]["Paths"], [f"{organization}/{root}/{unit}/{ONE}/"])
        self.assertEqual((accounts[ONE]["State"], accounts[TWO]["State"], accounts[TWO]["Status"]), ("ACTIVE", "SUSPENDED", "SUSPENDED"))
        self.assertEqual(accounts[ONE]["JoinedTimestamp"].isoformat()[:10], "2026-01-02")
        self.assertEqual(organizations.list_parents(ChildId=ONE)["Parents"][0]["Id"], unit)
        self.assertEqual([one["Name"] for one in organizations.list_organizational_units_for_parent(ParentId=root)["OrganizationalUnits"]],
                         ["workloads"])
        self.assertEqual([one["Id"] for one in organizations.list_accounts_for_parent(ParentId=unit)["Accounts"]], [ONE])
        self.state({"account": TWO, "removed": True})
        self.assertEqual(len(organizations.list_accounts()["Accounts"]), 2)
        organizations.tag_resource(ResourceId=ONE, Tags=[{"Key": "env", "Value": "prod"}])
        self.assertEqual(organizations.list_tags_for_resource(ResourceId=ONE)["Tags"], [{"Key": "env", "Value": "prod"}])

    def test_pages_hold_at_most_twenty_and_may_be_empty(self) -> None:
        self.organization(*(f"{number:012d}" for number in range(1, 25)))
        organizations = client("organizations")
        first = organizations.list_accounts()
        self.assertEqual((len(first["Accounts"]), len(organizations.list_accounts(NextToken=first["NextToken"])["Accounts"])), (20, 5))
        self.refused("InvalidInputException", organizations.list_accounts, MaxResults=21)
        self.state({"list_accounts_page_size": 10, "list_accounts_empty_pages": 2})
        pages = [len(page["Accounts"]) for page in organizations.get_paginator("list_accounts").paginate()]
        self.assertEqual(pages, [0, 0, 10, 10, 5])

    def test_who_may_ask(self) -> None:
        self.organization(ONE, TWO)
        self.refused("AccessDeniedException", client("organizations", ONE).list_accounts)
        self.refused("AWSOrganizationsNotInUseException", client("organizations", "9" * 12).list_accounts)
        for service in ("guardduty", "cloudtrail"):
            client("organizations").register_delegated_administrator(AccountId=ONE, ServicePrincipal=f"{service}.amazonaws.com")
        delegated = client("organizations", ONE)
        self.assertEqual(len(delegated.list_accounts()["Accounts"]), 3)
        self.assertEqual(delegated.list_roots()["Roots"][0]["Name"], "Root")
        self.refused("AccessDeniedException", delegated.create_account, AccountName="x", Email="x@example.com")
        self.assertEqual(client("organizations", TWO).describe_organization()["Organization"]["MasterAccountId"], MANAGEMENT)


def trust(principal: str, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition  # type: ignore[assignment]
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class AssumeRoleTest(EmulatorTest):
    ROLE = f"arn:aws:iam::{ONE}:role/plumbline/PlumblineAudit"

    def role(self, document: str) -> None:
        client("iam", ONE).create_role(RoleName="PlumblineAudit", Path="/plumbline/", AssumeRolePolicyDocument=document)

    def assume(self, key: str = "AKIABASE", **arguments: Any) -> dict[str, Any]:
        return client("sts", key).assume_role(RoleArn=self.ROLE, RoleSessionName="plumbline", **arguments)

    def test_existence_external_id_and_the_answer(self) -> None:
        self.organization(ONE)
        self.refused("AccessDenied", self.assume)
        self.role(trust(f"arn:aws:iam::{MANAGEMENT}:role/plumbline", StringEquals={"sts:ExternalId": "installation-1"}))
        self.refused("AccessDenied", self.assume)
        self.refused("AccessDenied", self.assume, ExternalId="installation-2")
        answer = self.assume(ExternalId="installation-1", DurationSeconds=900)
        self.assertEqual(answer["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{ONE}:assumed-role/PlumblineAudit/plumbline")
        key = answer["Credentials"]["AccessKeyId"]
        self.assertEqual(client("sts", key).get_caller_identity()["Account"], ONE)
        self.assertEqual(self.log("operation=GetCallerIdentity")[0]["principal"], answer["AssumedRoleUser"]["Arn"])
        session = control("GET", "sessions")["sessions"][0]
        self.assertEqual([session[name] for name in ("account", "role", "role_arn", "session_name", "external_id", "duration", "policy")],
                         [ONE, "PlumblineAudit", self.ROLE, "plumbline", "installation-1", 900, ""])
        self.state({"account": ONE, "expire_sessions": True})
        self.refused("ExpiredToken", client("iam", key).list_users)
        self.refused("ExpiredTokenException", client("guardduty", key).list_detectors)

    def test_the_principal_must_be_trusted(self) -> None:
        self.organization(ONE, TWO)
        self.role(trust(f"arn:aws:iam::{TWO}:root", StringEquals={"aws:PrincipalOrgID": client("organizations").describe_organization()["Organization"]["Id"]}))
        self.refused("AccessDenied", self.assume)
        self.assume(TWO)
        self.state({"account": ONE, "organization_state": "SUSPENDED"})
        self.refused("AccessDenied", self.assume, key=TWO)

    def test_a_principal_goes_by_its_own_name(self) -> None:
        self.state({"principals": {"AKIAONE": f"arn:aws:iam::{TWO}:role/one", "AKIATWO": f"arn:aws:iam::{TWO}:role/two"}})
        self.role(trust(f"arn:aws:iam::{TWO}:role/one"))
        self.assume("AKIAONE")
        self.refused("AccessDenied", self.assume, key="AKIATWO")

    def test_the_organizations_role(self) -> None:
        self.organization(ONE)
        arn = f"arn:aws:iam::{ONE}:role/OrganizationAccountAccessRole"
        key = client("sts").assume_role(RoleArn=arn, RoleSessionName="setup")["Credentials"]["AccessKeyId"]
        client("iam", key).list_users()
        self.assertEqual(self.log("operation=ListUsers")[0]["account"], ONE)
        self.refused("AccessDenied", client("sts", TWO).assume_role, RoleArn=arn, RoleSessionName="other")

    def test_the_session_policy_binds(self) -> None:
        self.organization(ONE)
        self.role(trust(f"arn:aws:iam::{MANAGEMENT}:root"))
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListAllMyBuckets", "iam:List*"], "Resource": "*"}]})
        key = self.assume(Policy=policy)["Credentials"]["AccessKeyId"]
        client("s3", key).list_buckets()
        client("iam", key).list_users()
        self.refused("AccessDenied", client("iam", key).get_account_summary)
        self.refused("UnauthorizedOperation", client("ec2", key).describe_regions)
        client("sts", key).get_caller_identity()
        self.assertEqual(control("GET", "sessions")["sessions"][0]["policy"], policy)
        self.state({"enforce_session_policies": False})
        client("iam", key).get_account_summary()
        self.refused("ValidationError", self.assume, Policy=json.dumps({"Statement": [], "Id": "x" * 2048}))

    def test_identity_policies_bind_when_asked(self) -> None:
        self.organization(ONE)
        self.role(trust(f"arn:aws:iam::{MANAGEMENT}:root"))
        client("iam", ONE).put_role_policy(RoleName="PlumblineAudit", PolicyName="p", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}]}))
        key = self.assume()["Credentials"]["AccessKeyId"]
        client("iam", key).list_roles()
        self.state({"enforce_identity_policies": True})
        client("iam", key).list_users()
        self.refused("AccessDenied", client("iam", key).list_roles)

    def test_another_account_behind_the_role(self) -> None:
        self.organization(ONE, TWO)
        self.role(trust(f"arn:aws:iam::{MANAGEMENT}:root"))
        control("POST", "rules", {"match": {"operation": "AssumeRole", "resource": self.ROLE}, "action": "rewrite-account", "account": TWO})
        answer = self.assume()
        self.assertEqual(answer["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{TWO}:assumed-role/PlumblineAudit/plumbline")
        self.assertEqual(client("sts", answer["Credentials"]["AccessKeyId"]).get_caller_identity()["Account"], TWO)

    def test_an_account_that_closed_its_doors(self) -> None:
        self.organization(ONE)
        self.role(trust(f"arn:aws:iam::{MANAGEMENT}:root"))
        key = self.assume()["Credentials"]["AccessKeyId"]
        self.state({"account": ONE, "permissions": False})
        self.refused("AccessDeniedException", client("guardduty", key).list_detectors)
        client("guardduty", ONE).list_detectors()

"""IAM: root, passwords, the credential report, policies and the simulator."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from .testing import EmulatorTest, client

ONE = "1" * 12
GUARD = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["iam:CreateVirtualMFADevice"], "Resource": "arn:aws:iam::*:mfa/*"},
    {"Effect": "Allow", "Action": ["iam:EnableMFADevice", "iam:GetUser"],
     "Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/*/${aws:username}"]},
    {"Effect": "Deny", "NotAction": ["iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:GetUser"], "Resource": "*",
     "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false", "aws:ViaAWSService": "false"}}}]})


class IAMTest(EmulatorTest):
    def setUp(self) -> None:
        super().setUp()
        self.iam = client("iam", ONE)

    def rows(self) -> dict[str, dict[str, str]]:
        content = self.iam.get_credential_report()["Content"].decode()
        return {row["user"]: row for row in csv.DictReader(io.StringIO(content))}

    def test_the_account_summary(self) -> None:
        names = ("AccountPasswordPresent", "AccountMFAEnabled", "AccountAccessKeysPresent", "AccountSigningCertificatesPresent", "AttachedPoliciesPerUserQuota")
        summary = self.iam.get_account_summary()["SummaryMap"]
        self.assertEqual([summary[name] for name in names], [1, 1, 0, 0, 10])
        self.state({"account": ONE, "root": {"access_keys": 1, "mfa": 0, "password": None, "signing_certificates": 1}})
        summary = self.iam.get_account_summary()["SummaryMap"]
        self.assertEqual([summary.get(name) for name in names], [None, 0, 1, 1, 10])

    def test_roots_mfa_device(self) -> None:
        self.assertEqual(self.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"], [])
        self.state({"account": ONE, "root": {"mfa_device": "virtual"}})
        devices = self.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
        self.assertEqual([device["User"]["Arn"] for device in devices], [f"arn:aws:iam::{ONE}:root"])

    def test_the_password_policy_shows_only_what_it_has(self) -> None:
        self.refused("NoSuchEntity", self.iam.get_account_password_policy)
        self.iam.update_account_password_policy(MinimumPasswordLength=14, RequireNumbers=True)
        policy = self.iam.get_account_password_policy()["PasswordPolicy"]
        self.assertEqual(policy, {"MinimumPasswordLength": 14, "RequireSymbols": False, "RequireNumbers": True, "RequireUppercaseCharacters": False,
                                  "RequireLowercaseCharacters": False, "AllowUsersToChangePassword": False, "ExpirePasswords": False})
        self.iam.update_account_password_policy(MaxPasswordAge=90, PasswordReusePrevention=24, HardExpiry=True)
        policy = self.iam.get_account_password_policy()["PasswordPolicy"]
        self.assertEqual((policy["MaxPasswordAge"], policy["PasswordReusePrevention"], policy["HardExpiry"], policy["MinimumPasswordLength"],
                          policy["ExpirePasswords"]), (90, 24, True, 6, True))
        self.refused("ValidationError", self.iam.update_account_password_policy, MaxPasswordAge=0)
        self.iam.delete_account_password_policy()
        self.refused("NoSuchEntity", self.iam.get_account_password_policy)

    def test_login_profiles(self) -> None:
        self.iam.create_user(UserName="alice")
        self.refused("NoSuchEntity", self.iam.get_login_profile, UserName="alice")
        self.iam.create_login_profile(UserName="alice", Password="first", PasswordResetRequired=True)
        self.assertTrue(self.iam.get_login_profile(UserName="alice")["LoginProfile"]["PasswordResetRequired"])
        self.iam.update_login_profile(UserName="alice", PasswordResetRequired=False)
        self.state({"account": ONE, "user": "alice", "login_profile_created_at": "2026-01-01T00:00:00Z"})
        profile = self.iam.get_login_profile(UserName="alice")["LoginProfile"]
        self.assertEqual((profile["PasswordResetRequired"], profile["CreateDate"].isoformat()[:10]), (False, "2026-01-01"))
        self.refused("DeleteConflict", self.iam.delete_user, UserName="alice")
        self.iam.delete_login_profile(UserName="alice")
        self.refused("NoSuchEntity", self.iam.delete_login_profile, UserName="alice")
        self.iam.delete_user(UserName="alice")

    def test_the_credential_report_is_frozen(self) -> None:
        self.iam.create_user(UserName="alice")
        self.iam.create_user(UserName="bob", Path="/eng/")
        self.iam.create_login_profile(UserName="alice", Password="first")
        key = self.iam.create_access_key(UserName="bob")["AccessKey"]["AccessKeyId"]
        self.state({"account": ONE, "user": "alice", "password_last_used": "2026-02-03T04:05:06Z"},
                   {"account": ONE, "user": "bob", "access_key_id": key, "access_key_created_at": "2026-01-01T00:00:00Z",
                    "access_key_last_used": "2026-03-01T00:00:00Z"})
        self.refused("ReportNotPresent", self.iam.get_credential_report)
        self.assertEqual(self.iam.generate_credential_report()["State"], "STARTED")
        rows = self.rows()
        self.assertEqual(list(rows), ["<root_account>", "alice", "bob"])
        root, alice, bob = rows.values()
        self.assertEqual((root["arn"], root["password_enabled"], root["mfa_active"], root["access_key_1_active"]),
                         (f"arn:aws:iam::{ONE}:root", "not_supported", "true", "false"))
        self.assertEqual((alice["password_enabled"], alice["password_last_used"], alice["mfa_active"], alice["access_key_1_active"],
                          alice["access_key_1_last_rotated"]), ("true", "2026-02-03T04:05:06+00:00", "false", "false", "N/A"))
        self.assertEqual((bob["arn"], bob["password_enabled"], bob["password_last_used"], bob["access_key_1_last_rotated"],
                          bob["access_key_1_last_used_date"], bob["access_key_2_active"], bob["cert_2_last_rotated"]),
                         (f"arn:aws:iam::{ONE}:user/eng/bob", "false", "N/A", "2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00", "false", "N/A"))
        self.iam.create_user(UserName="carol")
        self.assertEqual((self.iam.generate_credential_report()["State"], list(self.rows())), ("COMPLETE", list(rows)))
        self.state({"account": ONE, "generated_at": "2026-01-01T00:00:00Z"})
        self.refused("ReportExpired", self.iam.get_credential_report)
        self.assertEqual(self.iam.generate_credential_report()["State"], "STARTED")
        self.assertIn("carol", self.rows())

    def test_states_of_the_report(self) -> None:
        def report(state: str) -> None:
            self.state({"account": ONE, "credential_report": state})

        report("ready")
        self.assertEqual(list(self.rows()), ["<root_account>"])
        for state, code in (("expired", "ReportExpired"), ("absent", "ReportNotPresent"), ("in_progress", "ReportInProgress")):
            report(state)
            self.refused(code, self.iam.get_credential_report)
        self.assertEqual(self.iam.generate_credential_report()["State"], "INPROGRESS")
        report("limit")
        self.refused("LimitExceeded", self.iam.generate_credential_report)
        report("normal")
        self.state({"account": ONE, "report_polls": 2})
        self.assertEqual([self.iam.generate_credential_report()["State"] for _ in range(2)], ["STARTED", "INPROGRESS"])
        self.refused("ReportInProgress", self.iam.get_credential_report)
        self.assertEqual(list(self.rows()), ["<root_account>"])

    def test_lists_page(self) -> None:
        for name in ("a", "b", "c"):
            self.iam.create_user(UserName=name)
        pages = [[user["UserName"] for user in page["Users"]] for page in self.iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2})]
        self.assertEqual(pages, [["a", "b"], ["c"]])

    def test_keys_and_mfa_devices(self) -> None:
        self.iam.create_user(UserName="alice")
        key = self.iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
        used = self.iam.get_access_key_last_used(AccessKeyId=key)
        self.assertEqual((used["UserName"], used["AccessKeyLastUsed"]), ("alice", {"Region": "N/A", "ServiceName": "N/A"}))
        client("iam", key).list_roles()
        self.assertIn("LastUsedDate", self.iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"])
        self.iam.update_access_key(UserName="alice", AccessKeyId=key, Status="Inactive")
        self.assertEqual([one["Status"] for one in self.iam.list_access_keys(UserName="alice")["AccessKeyMetadata"]], ["Inactive"])
        self.assertEqual(self.iam.list_mfa_devices(UserName="alice")["MFADevices"], [])
        serial = self.iam.create_virtual_mfa_device(VirtualMFADeviceName="alice")["VirtualMFADevice"]["SerialNumber"]
        self.iam.enable_mfa_device(UserName="alice", SerialNumber=serial, AuthenticationCode1="111111", AuthenticationCode2="222222")
        self.assertEqual([one["SerialNumber"] for one in self.iam.list_mfa_devices(UserName="alice")["MFADevices"]], [serial])

    def test_attached_policies(self) -> None:
        self.iam.create_user(UserName="alice")
        guard = self.iam.create_policy(PolicyName="mfa-guard", Path="/plumbline/", PolicyDocument=GUARD)["Policy"]["Arn"]
        self.assertEqual(guard, f"arn:aws:iam::{ONE}:policy/plumbline/mfa-guard")
        for _ in range(2):
            self.iam.attach_user_policy(UserName="alice", PolicyArn=guard)
        entities = self.iam.list_entities_for_policy(PolicyArn=guard, EntityFilter="User")
        self.assertEqual(([user["UserName"] for user in entities["PolicyUsers"]], entities["PolicyRoles"]), (["alice"], []))
        self.refused("DeleteConflict", self.iam.delete_policy, PolicyArn=guard)
        self.iam.attach_user_policy(UserName="alice", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
        for number in range(8):
            arn = self.iam.create_policy(PolicyName=f"p{number}", PolicyDocument=GUARD)["Policy"]["Arn"]
            self.iam.attach_user_policy(UserName="alice", PolicyArn=arn)
        self.assertEqual(len(self.iam.list_attached_user_policies(UserName="alice")["AttachedPolicies"]), 10)
        self.refused("LimitExceeded", self.iam.attach_user_policy, UserName="alice", PolicyArn="arn:aws:iam::aws:policy/SecurityAudit")
        self.iam.detach_user_policy(UserName="alice", PolicyArn=guard)
        self.iam.delete_policy(PolicyArn=guard)

    def simulate(self, *actions: str, policies: list[str] | None = None, resources: list[str] | None = None, mfa: str = "false") -> list[str]:
        entries: list[dict[str, Any]] = [{"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "boolean"}
                                         for name, value in (("aws:MultiFactorAuthPresent", mfa), ("aws:ViaAWSService", "false"))]
        answer = self.iam.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{ONE}:user/eng/alice", ActionNames=list(actions),
                                                    PolicyInputList=policies or [], ContextEntries=entries,
                                                    **({"ResourceArns": resources} if resources else {}))
        return [result["EvalDecision"] for result in answer["EvaluationResults"]]

    def test_the_simulator(self) -> None:
        self.refused("NoSuchEntity", self.simulate, "iam:GetUser")
        self.iam.create_user(UserName="alice", Path="/eng/")
        user, device = [f"arn:aws:iam::{ONE}:user/eng/alice"], [f"arn:aws:iam::{ONE}:mfa/alice"]
        self.assertEqual(self.simulate("iam:EnableMFADevice", resources=user), ["implicitDeny"])
        self.assertEqual(self.simulate("iam:EnableMFADevice", "iam:GetUser", policies=[GUARD], resources=user), ["allowed", "allowed"])
        self.assertEqual(self.simulate("iam:CreateVirtualMFADevice", policies=[GUARD], resources=device), ["allowed"])
        self.assertEqual(self.simulate("iam:CreateVirtualMFADevice", policies=[GUARD]), ["implicitDeny"])  # for "*" it is not allowed
        self.iam.create_group(GroupName="all")
        self.iam.add_user_to_group(GroupName="all", UserName="alice")
        self.iam.attach_group_policy(GroupName="all", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        self.assertEqual(self.simulate("s3:GetObject", policies=[GUARD]), ["explicitDeny"])
        self.assertEqual(self.simulate("s3:GetObject", policies=[GUARD], mfa="true"), ["allowed"])
        self.iam.put_user_policy(UserName="alice", PolicyName="no", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iam:Enable*", "Resource": "*"}]}))
        self.assertEqual(self.simulate("iam:EnableMFADevice", policies=[GUARD], resources=user), ["explicitDeny"])
        self.state({"account": ONE, "user": "alice", "simulate": {"iam:CreateVirtualMFADevice": "explicitDeny"}})
        self.assertEqual(self.simulate("iam:CreateVirtualMFADevice", policies=[GUARD], resources=device), ["explicitDeny"])

"""The log, the rules, holding calls, and the process itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError

from .testing import MANAGEMENT, REGION, EmulatorTest, client, control, endpoint, start, stop

ONE, TWO = "1" * 12, "2" * 12


class LogTest(EmulatorTest):
    def test_every_attempt_is_logged_once(self) -> None:
        client("iam", ONE).list_users()
        self.refused("NoSuchEntity", client("iam", TWO).get_user, UserName="nobody")
        client("guardduty", ONE, "eu-west-1").list_detectors()
        found = [(one["seq"], one["service"], one["operation"], one["account"], one["region"], one["resource"], one["status"],
                  one["error_code"], one["write"], one["executed"], one["phase"]) for one in self.log()]
        self.assertEqual(found, [
            (1, "iam", "ListUsers", ONE, REGION, "", 200, "", False, True, "answered"),
            (2, "iam", "GetUser", TWO, REGION, "nobody", 404, "NoSuchEntity", False, True, "answered"),
            (3, "guardduty", "ListDetectors", ONE, "eu-west-1", "", 200, "", False, True, "answered")])
        self.assertEqual([one["seq"] for one in self.log("since=1&service=iam,guard*")], [2, 3])

    def test_the_request_id_and_the_input_are_logged(self) -> None:
        answer = client("guardduty", ONE).create_detector(Enable=True, Features=[{"Name": "S3_DATA_EVENTS", "Status": "DISABLED"}])
        entry = self.log("write=true&params=1")[0]
        self.assertEqual(entry["request_id"], answer["ResponseMetadata"]["RequestId"])
        self.assertEqual(entry["parameters"]["Features"], [{"Name": "S3_DATA_EVENTS", "Status": "DISABLED"}])

    def test_s3_and_s3control_operations_have_their_names(self) -> None:
        s3 = client("s3", ONE)
        s3.create_bucket(Bucket="names", CreateBucketConfiguration={"LocationConstraint": REGION})
        block: dict[str, Any] = {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}
        encryption = {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}}
        lock = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
        ownership = {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}
        policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::names/*"}]}'
        calls: list[tuple[str, dict[str, Any]]] = [
            ("put_public_access_block", block), ("get_public_access_block", {}), ("delete_public_access_block", {}),
            ("put_bucket_encryption", encryption), ("get_bucket_encryption", {}), ("delete_bucket_encryption", {}),
            ("put_bucket_policy", {"Policy": policy}), ("get_bucket_policy", {}), ("get_bucket_policy_status", {}), ("delete_bucket_policy", {}),
            ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}), ("get_bucket_versioning", {}),
            ("put_object_lock_configuration", lock), ("get_object_lock_configuration", {}),
            ("put_bucket_ownership_controls", ownership), ("get_bucket_ownership_controls", {}), ("delete_bucket_ownership_controls", {}),
            ("put_bucket_acl", {"ACL": "private"}), ("get_bucket_acl", {}),
            ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}), ("get_bucket_tagging", {}),
            ("put_bucket_logging", {"BucketLoggingStatus": {}}), ("get_bucket_logging", {}), ("get_bucket_location", {}), ("head_bucket", {})]
        for name, arguments in calls:
            getattr(s3, name)(Bucket="names", **arguments)
        s3.list_buckets()
        wanted = ["CreateBucket", *("".join(part.capitalize() for part in name.split("_")) for name, _ in calls)]
        self.assertEqual([(one["operation"], one["resource"]) for one in self.log("service=s3")],
                         [*((name, "names") for name in wanted), ("ListBuckets", "")])
        # S3 Control, with the account in the host name, through the emulator as proxy.
        s3control = client("s3control", ONE, address=endpoint().replace("127.0.0.1", "localhost"), proxies={"http": endpoint()})
        s3control.put_public_access_block(AccountId=ONE, **block)
        s3control.get_public_access_block(AccountId=ONE)
        s3control.delete_public_access_block(AccountId=ONE)
        self.assertEqual([(one["operation"], one["resource"]) for one in self.log("service=s3control")],
                         [(name, ONE) for name in ("PutPublicAccessBlock", "GetPublicAccessBlock", "DeletePublicAccessBlock")])

    def test_what_nobody_answers_is_501_with_a_code(self) -> None:
        for service, operation, arguments in (("iam", "list_organizations_features", {}), ("guardduty", "list_ip_sets", {"DetectorId": "x"}),
                                              ("accessanalyzer", "list_analyzers", {}), ("cloudtrail", "lookup_events", {})):
            error = self.refused("NotImplementedByEmulator", getattr(client(service, ONE), operation), **arguments)
            self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 501)
        self.assertEqual({(one["status"], one["executed"]) for one in self.log()}, {(501, False)})

    def test_reset_forgets_everything(self) -> None:
        self.organization(ONE)
        control("POST", "rules", {"action": "delay", "seconds": 0})
        self.state({"regions": ["us-east-1"]})
        control("POST", "reset")
        self.assertEqual((self.log(), control("GET", "rules")["rules"], control("GET", "state")["regions"]),
                         ([], [], ["eu-central-1", "eu-west-1", "us-east-1"]))
        self.refused("AWSOrganizationsNotInUseException", client("organizations").list_accounts)


class RuleTest(EmulatorTest):
    def test_error_in_the_protocol_of_each_service(self) -> None:
        control("POST", "rules", {"match": {"account": ONE}, "action": "error", "code": "auto"})
        cases = [("ec2", "describe_regions", "UnauthorizedOperation", 403, "ec2:DescribeRegions"),
                 ("iam", "list_users", "AccessDenied", 403, "iam:ListUsers"),
                 ("s3", "list_buckets", "AccessDenied", 403, "s3:ListAllMyBuckets"),
                 ("guardduty", "list_detectors", "AccessDeniedException", 403, "guardduty:ListDetectors"),
                 ("kms", "list_keys", "AccessDeniedException", 400, "kms:ListKeys"),
                 ("organizations", "list_accounts", "AccessDeniedException", 400, "organizations:ListAccounts"),
                 ("rds", "describe_db_instances", "AccessDenied", 403, "rds:DescribeDBInstances")]
        for service, operation, code, status, action in cases:
            with self.subTest(service):
                error = self.refused(code, getattr(client(service, ONE), operation))
                self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], status)
                self.assertIn(f"is not authorized to perform: {action}", error.response["Error"]["Message"])
                self.assertIn("with an explicit deny in a service control policy", error.response["Error"]["Message"])
        s3control = client("s3control", ONE, address=endpoint().replace("127.0.0.1", "localhost"), proxies={"http": endpoint()})
        self.refused("AccessDenied", s3control.get_public_access_block, AccountId=ONE)
        self.assertFalse(any(one["executed"] for one in self.log()))
        client("iam", TWO).list_users()

    def test_throttling_codes_times_and_skip(self) -> None:
        control("POST", "rules", {"match": {"operation": "List*"}, "action": "error", "code": "throttle", "times": 2, "skip": 1})
        client("iam", ONE).list_users()
        self.refused("Throttling", client("iam", ONE).list_users)
        self.refused("SlowDown", client("s3", ONE).list_buckets)
        client("iam", ONE).list_users()
        self.assertEqual(control("GET", "rules")["rules"][0]["hits"], 2)

    def test_match_by_region_resource_and_own_words(self) -> None:
        control("POST", "rules", {"match": {"service": ["iam", "kms"], "region": "eu-west-*", "resource": "ali?e"}, "action": "error",
                                  "code": "ServiceFailure", "status": 503, "message": "not now"})
        self.refused("NoSuchEntity", client("iam", ONE).get_user, UserName="alice")
        error = self.refused("ServiceFailure", client("iam", ONE, "eu-west-1").get_user, UserName="alice")
        self.assertEqual((error.response["Error"]["Message"], error.response["ResponseMetadata"]["HTTPStatusCode"]), ("not now", 503))

    def test_delay_and_removal(self) -> None:
        rule = control("POST", "rules", {"match": {"service": "iam"}, "action": "delay", "seconds": 0.3})["id"]
        begin = time.monotonic()
        client("iam", ONE).list_users()
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)
        control("DELETE", f"rules/{rule}")
        begin = time.monotonic()
        client("iam", ONE).list_users()
        self.assertLess(time.monotonic() - begin, 0.3)

    def test_a_bad_rule_is_refused(self) -> None:
        for rule in ({"action": "explode"}, {"action": "error"}, {"action": "delay", "match": {"colour": "red"}}, {"action": "delay", "nope": 1}):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                control("POST", "rules", rule)
            self.assertEqual(caught.exception.code, 400)
            caught.exception.close()


class HoldTest(EmulatorTest):
    def hold(self, action: str) -> tuple[threading.Thread, list[Any], dict[str, Any]]:
        """Creates a user while a rule holds the call; gives the thread, its outcome and the held call."""
        control("POST", "rules", {"match": {"operation": "CreateUser"}, "action": action, "times": 1})
        outcome: list[Any] = []

        def create() -> None:
            try:
                outcome.append(client("iam", ONE).create_user(UserName="held")["User"]["UserName"])
            except (ClientError, ConnectionClosedError) as error:
                outcome.append(error)

        thread = threading.Thread(target=create)
        thread.start()
        for _ in range(100):
            if held := control("GET", "held")["held"]:
                return thread, outcome, held[0]
            time.sleep(0.02)
        self.fail("nothing was held")

    def users(self) -> list[str]:
        return [user["UserName"] for user in client("iam", ONE).list_users()["Users"]]  # other calls go on while one is held

    def release(self, held: dict[str, Any], thread: threading.Thread, drop: bool) -> None:
        control("POST", f"held/{held['id']}/release", {"drop": drop})
        thread.join(10)

    def test_before_and_released(self) -> None:
        thread, outcome, held = self.hold("hold-before")
        self.assertEqual((held["when"], held["request"]["phase"], held["request"]["executed"], self.users()), ("before", "held", False, []))
        self.release(held, thread, drop=False)
        self.assertEqual((outcome, self.users()), (["held"], ["held"]))

    def test_before_and_dropped(self) -> None:
        thread, outcome, held = self.hold("hold-before")
        self.release(held, thread, drop=True)
        self.assertIsInstance(outcome[0], ConnectionClosedError)
        entry = self.log("operation=CreateUser")[0]
        self.assertEqual((self.users(), entry["phase"], entry["status"], entry["executed"]), ([], "dropped", 0, False))

    def test_after_and_released(self) -> None:
        thread, outcome, held = self.hold("hold-after")
        self.assertEqual((held["when"], held["request"]["executed"], self.users(), outcome), ("after", True, ["held"], []))
        self.release(held, thread, drop=False)
        self.assertEqual(outcome, ["held"])

    def test_after_and_dropped(self) -> None:
        thread, outcome, held = self.hold("hold-after")
        self.release(held, thread, drop=True)
        self.assertIsInstance(outcome[0], ConnectionClosedError)
        entry = self.log("operation=CreateUser")[0]
        self.assertEqual((self.users(), entry["phase"], entry["executed"]), (["held"], "dropped", True))

    def test_dropped_without_holding(self) -> None:
        control("POST", "rules", {"match": {"operation": "CreateUser"}, "action": "drop-after", "times": 1})
        with self.assertRaises(ConnectionClosedError):
            client("iam", ONE).create_user(UserName="gone")
        self.assertEqual(self.users(), ["gone"])


class CallerTest(EmulatorTest):
    def test_whose_key_it_is(self) -> None:
        self.assertEqual(client("sts").get_caller_identity()["Account"], MANAGEMENT)
        self.assertEqual(client("sts", ONE).get_caller_identity()["Account"], ONE)
        iam = client("iam", TWO)
        iam.create_user(UserName="bob")
        key = iam.create_access_key(UserName="bob")["AccessKey"]["AccessKeyId"]
        self.assertEqual(client("sts", key).get_caller_identity()["Arn"], f"arn:aws:iam::{TWO}:user/bob")
        iam.update_access_key(UserName="bob", AccessKeyId=key, Status="Inactive")
        self.refused("InvalidClientTokenId", client("sts", key).get_caller_identity)
        self.refused("UnrecognizedClientException", client("kms", "ASIAFROMBEFORERESET0").list_keys)
        self.state({"principals": {"AKIACONTROLLER": f"arn:aws:iam::{TWO}:role/plumbline"}})
        self.assertEqual(client("sts", "AKIACONTROLLER").get_caller_identity()["Arn"], f"arn:aws:iam::{TWO}:role/plumbline")

    def test_regions_not_enabled(self) -> None:
        self.refused("AuthFailure", client("ec2", ONE, "us-west-2").describe_volumes)
        self.refused("UnrecognizedClientException", client("guardduty", ONE, "us-west-2").list_detectors)
        self.state({"account": ONE, "regions": ["us-west-2"]})
        client("guardduty", ONE, "us-west-2").list_detectors()
        self.refused("UnrecognizedClientException", client("guardduty", ONE).list_detectors)

    def test_bad_state_is_refused(self) -> None:
        for state in ({"colour": "red"}, {"account": ONE, "colour": "red"}, {"regions": "eu-west-1"}, {"account": ONE, "credential_report": "old"},
                      {"account": ONE, "user": "nobody", "password_last_used": None}, {"account": ONE, "organization_state": "ACTIVE"}):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                control("POST", "state", state)
            self.assertEqual(caught.exception.code, 400)
            caught.exception.close()


class ProcessTest(unittest.TestCase):
    def test_log_file_and_sigterm(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "calls.jsonl")
            process, address = start("--log", str(file))
            client("iam", ONE, address=address).list_users()
            self.assertEqual(stop(process), 0)
            self.assertIn('"operation": "ListUsers"', file.read_text())

    def test_ends_with_its_parent(self) -> None:
        parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        process, _ = start("--parent", str(parent.pid))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        try:
            self.assertEqual(process.wait(10), 0)
        finally:
            stop(process)

    def test_started_as_a_directory(self) -> None:
        script = Path(__file__).parent
        process = subprocess.Popen([sys.executable, str(script), "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            self.assertTrue(process.stdout.readline().startswith("ready http://127.0.0.1:"))
        finally:
            stop(process)

"""GuardDuty and CloudTrail."""

from __future__ import annotations

from typing import Any

from .testing import MANAGEMENT, REGION, EmulatorTest, client

ADMIN, ONE, TWO, LATE = "9" * 12, "1" * 12, "2" * 12, "5" * 12
OPTIONAL = ["S3_DATA_EVENTS", "EKS_AUDIT_LOGS", "EBS_MALWARE_PROTECTION", "RDS_LOGIN_EVENTS", "LAMBDA_NETWORK_LOGS"]


class GuardDutyTest(EmulatorTest):
    def features(self, account: str, region: str = REGION) -> dict[str, str]:
        guardduty = client("guardduty", account, region)
        detector = guardduty.list_detectors()["DetectorIds"][0]
        return {feature["Name"]: feature["Status"] for feature in guardduty.get_detector(DetectorId=detector)["Features"]}


class DetectorTest(GuardDutyTest):
    def test_one_detector_with_all_its_features(self) -> None:
        guardduty = client("guardduty", ONE)
        detector = guardduty.create_detector(Enable=True, Features=[{"Name": "S3_DATA_EVENTS", "Status": "DISABLED"}])["DetectorId"]
        self.refused("BadRequestException", guardduty.create_detector, Enable=True)
        features = self.features(ONE)
        self.assertEqual([name for name, status in features.items() if status == "DISABLED"],
                         ["S3_DATA_EVENTS", "EKS_RUNTIME_MONITORING", "RUNTIME_MONITORING"])
        self.assertEqual({features[name] for name in ("CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS", *OPTIONAL[1:])}, {"ENABLED"})
        self.assertEqual(client("guardduty", ONE, "eu-west-1").list_detectors()["DetectorIds"], [])
        # an update merges
        guardduty.update_detector(DetectorId=detector, FindingPublishingFrequency="FIFTEEN_MINUTES", Features=[
            {"Name": "RUNTIME_MONITORING", "Status": "ENABLED", "AdditionalConfiguration": [{"Name": "EC2_AGENT_MANAGEMENT", "Status": "ENABLED"}]}])
        features = self.features(ONE)
        self.assertEqual((features["RUNTIME_MONITORING"], features["S3_DATA_EVENTS"], features["EKS_AUDIT_LOGS"]), ("ENABLED", "DISABLED", "ENABLED"))
        answer = guardduty.get_detector(DetectorId=detector)
        self.assertEqual((answer["Status"], answer["FindingPublishingFrequency"]), ("ENABLED", "FIFTEEN_MINUTES"))
        parts = {part["Name"]: part["Status"] for feature in answer["Features"] if feature["Name"] == "RUNTIME_MONITORING"
                 for part in feature["AdditionalConfiguration"]}
        self.assertEqual(parts, {"EKS_ADDON_MANAGEMENT": "DISABLED", "ECS_FARGATE_AGENT_MANAGEMENT": "DISABLED", "EC2_AGENT_MANAGEMENT": "ENABLED"})
        self.assertNotEqual(answer["UpdatedAt"], answer["CreatedAt"])
        self.refused("BadRequestException", guardduty.update_detector, DetectorId=detector, Features=[{"Name": "NOPE", "Status": "ENABLED"}])
        self.refused("BadRequestException", guardduty.get_detector, DetectorId="0" * 32)
        guardduty.update_detector(DetectorId=detector, Enable=False)
        self.assertEqual(guardduty.get_detector(DetectorId=detector)["Status"], "DISABLED")

    def test_state_of_a_detector_and_absent_features(self) -> None:
        self.state({"account": ONE, "region": REGION, "detector": {"status": "DISABLED", "features": {"RDS_LOGIN_EVENTS": "DISABLED"}}},
                   {"guardduty_absent_features": {REGION: ["LAMBDA_NETWORK_LOGS"]}})
        features = self.features(ONE)
        self.assertEqual(features["RDS_LOGIN_EVENTS"], "DISABLED")
        self.assertNotIn("LAMBDA_NETWORK_LOGS", features)


class OrganizationTest(GuardDutyTest):
    def setUp(self) -> None:
        super().setUp()
        self.organization(ADMIN, ONE, TWO)
        self.management, self.admin = client("guardduty"), client("guardduty", ADMIN)
        self.refused("BadRequestException", self.admin.enable_organization_admin_account, AdminAccountId=ADMIN)
        self.management.enable_organization_admin_account(AdminAccountId=ADMIN)
        self.detector = self.admin.list_detectors()["DetectorIds"][0]

    def configure(self, members: str, **features: str) -> None:
        self.admin.update_organization_configuration(DetectorId=self.detector, AutoEnableOrganizationMembers=members,
                                                     Features=[{"Name": name, "AutoEnable": auto} for name, auto in features.items()])

    def create(self, *accounts: str) -> list[dict[str, Any]]:
        details = [{"AccountId": account, "Email": f"{account}@example.com"} for account in accounts]
        return self.admin.create_members(DetectorId=self.detector, AccountDetails=details)["UnprocessedAccounts"]

    def members(self, **arguments: Any) -> dict[str, str]:
        members = self.admin.list_members(DetectorId=self.detector, **arguments)["Members"]
        return {member["AccountId"]: member["RelationshipStatus"] for member in members}

    def test_the_administrator(self) -> None:
        self.assertEqual(self.management.list_organization_admin_accounts()["AdminAccounts"], [{"AdminAccountId": ADMIN, "AdminStatus": "ENABLED"}])
        self.refused("BadRequestException", self.management.enable_organization_admin_account, AdminAccountId=ADMIN)
        self.assertEqual(client("guardduty", region="eu-west-1").list_organization_admin_accounts()["AdminAccounts"], [])
        self.assertEqual([one["Id"] for one in client("organizations").list_delegated_administrators()["DelegatedAdministrators"]], [ADMIN])
        self.refused("BadRequestException", client("guardduty", ONE).list_organization_admin_accounts)
        self.management.disable_organization_admin_account(AdminAccountId=ADMIN)
        self.assertEqual(self.management.list_organization_admin_accounts()["AdminAccounts"], [])
        self.refused("BadRequestException", self.admin.describe_organization_configuration, DetectorId=self.detector)

    def test_the_configuration_merges(self) -> None:
        self.refused("BadRequestException", self.admin.update_organization_configuration, DetectorId=self.detector,
                     Features=[{"Name": "S3_DATA_EVENTS", "AutoEnable": "ALL"}])
        self.configure("NEW", S3_DATA_EVENTS="NEW", RDS_LOGIN_EVENTS="NEW")
        self.configure("NEW", RDS_LOGIN_EVENTS="NONE")
        answer = self.admin.describe_organization_configuration(DetectorId=self.detector)
        features = {feature["Name"]: feature["AutoEnable"] for feature in answer["Features"]}
        self.assertEqual((answer["AutoEnableOrganizationMembers"], features["S3_DATA_EVENTS"], features["RDS_LOGIN_EVENTS"]), ("NEW", "NEW", "NONE"))

    def test_members(self) -> None:
        self.assertEqual(self.create(ONE, TWO), [])
        self.assertEqual([one["AccountId"] for one in self.create(ONE, MANAGEMENT)], [ONE, MANAGEMENT])
        first = self.admin.list_members(DetectorId=self.detector, MaxResults=1)
        self.assertEqual(self.members(MaxResults=1, NextToken=first["NextToken"]), {TWO: "Enabled"})
        member = client("guardduty", ONE)
        detector = member.list_detectors()["DetectorIds"][0]
        self.refused("BadRequestException", member.update_detector, DetectorId=detector, Enable=False)
        self.assertEqual(member.get_administrator_account(DetectorId=detector)["Administrator"]["AccountId"], ADMIN)
        self.admin.stop_monitoring_members(DetectorId=self.detector, AccountIds=[ONE])
        self.assertEqual((self.members(), member.get_detector(DetectorId=detector)["Status"]), ({ONE: "Disabled", TWO: "Enabled"}, "DISABLED"))
        self.admin.start_monitoring_members(DetectorId=self.detector, AccountIds=[ONE])
        self.assertEqual(self.members(), {ONE: "Enabled", TWO: "Enabled"})
        self.admin.disassociate_members(DetectorId=self.detector, AccountIds=[ONE])
        self.assertEqual((self.members(), self.members(OnlyAssociated="false")), ({TWO: "Enabled"}, {ONE: "Removed", TWO: "Enabled"}))
        member.update_detector(DetectorId=detector, Enable=False)
        found = self.admin.get_members(DetectorId=self.detector, AccountIds=[ONE, LATE])
        self.assertEqual(([one["AccountId"] for one in found["Members"]], [one["AccountId"] for one in found["UnprocessedAccounts"]]), ([ONE], [LATE]))

    def test_member_detectors(self) -> None:
        self.create(ONE, TWO)
        self.state({"guardduty_unprocessed": {"UpdateMemberDetectors": {TWO: "try again"}}})
        change = {"Features": [{"Name": "S3_DATA_EVENTS", "Status": "ENABLED"}]}
        answer = self.admin.update_member_detectors(DetectorId=self.detector, AccountIds=[ONE, TWO], **change)
        self.assertEqual(answer["UnprocessedAccounts"], [{"AccountId": TWO, "Result": "try again"}])
        found = self.admin.get_member_detectors(DetectorId=self.detector, AccountIds=[ONE, TWO, LATE])
        status = {member["AccountId"]: {feature["Name"]: feature["Status"] for feature in member["Features"]}
                  for member in found["MemberDataSourceConfigurations"]}
        self.assertEqual((status[ONE]["S3_DATA_EVENTS"], status[TWO]["S3_DATA_EVENTS"]), ("ENABLED", "DISABLED"))
        self.assertEqual([one["AccountId"] for one in found["UnprocessedAccounts"]], [LATE])
        self.refused("BadRequestException", self.admin.get_member_detectors, DetectorId=self.detector,
                     AccountIds=[f"{number:012d}" for number in range(51)])
        self.refused("BadRequestException", self.admin.update_member_detectors, DetectorId=self.detector, AccountIds=[ONE], Features=[
            {"Name": "RUNTIME_MONITORING", "Status": "ENABLED"}, {"Name": "EKS_RUNTIME_MONITORING", "Status": "ENABLED"}])

    def test_all_reaches_everybody_and_new_only_the_new(self) -> None:
        self.configure("NEW", S3_DATA_EVENTS="NEW")
        self.assertEqual(self.members(), {})
        client("organizations").create_account(AccountName="late", Email="late@example.com", Tags=[{"Key": "emulator:account-id", "Value": LATE}])
        self.assertEqual(self.members(), {LATE: "Enabled"})
        features = self.features(LATE)
        self.assertEqual((features["S3_DATA_EVENTS"], features["RDS_LOGIN_EVENTS"]), ("ENABLED", "DISABLED"))
        self.configure("ALL", RDS_LOGIN_EVENTS="ALL")
        self.assertEqual(self.members(), {ONE: "Enabled", TWO: "Enabled", LATE: "Enabled"})
        self.assertEqual(self.features(LATE)["RDS_LOGIN_EVENTS"], "ENABLED")
        self.refused("BadRequestException", self.admin.stop_monitoring_members, DetectorId=self.detector, AccountIds=[ONE])
        self.refused("BadRequestException", self.admin.disassociate_members, DetectorId=self.detector, AccountIds=[ONE])

    def test_the_configuration_may_lag(self) -> None:
        self.state({"guardduty_org_lag": True})
        self.configure("ALL")
        self.assertEqual(self.members(), {})
        self.state({"guardduty_org_lag": False})
        self.assertEqual(sorted(self.members()), [ONE, TWO])


class CloudTrailTest(EmulatorTest):
    ARN = f"arn:aws:cloudtrail:{REGION}:{MANAGEMENT}:trail/org-trail"

    def setUp(self) -> None:
        super().setUp()
        self.organization(ADMIN, ONE)
        client("s3", ADMIN).create_bucket(Bucket="log-archive", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.trail = client("cloudtrail")
        wanted = {"Name": "org-trail", "S3BucketName": "log-archive", "IsMultiRegionTrail": True, "IsOrganizationTrail": True}
        self.refused("CloudTrailAccessNotEnabledException", self.trail.create_trail, **wanted)
        client("organizations").enable_aws_service_access(ServicePrincipal="cloudtrail.amazonaws.com")
        self.refused("S3BucketDoesNotExistException", self.trail.create_trail, **{**wanted, "S3BucketName": "nowhere"})
        self.refused("NotOrganizationMasterAccountException", client("cloudtrail", ONE).create_trail, **wanted)
        self.trail.create_trail(**wanted)
        self.refused("TrailAlreadyExistsException", self.trail.create_trail, **wanted)

    def test_logging_by_arn_from_the_home_region(self) -> None:
        self.assertFalse(self.trail.get_trail_status(Name=self.ARN)["IsLogging"])
        self.trail.start_logging(Name=self.ARN)
        self.assertTrue(self.trail.get_trail_status(Name="org-trail")["IsLogging"])
        elsewhere = client("cloudtrail", region="eu-west-1")
        self.assertTrue(elsewhere.get_trail_status(Name=self.ARN)["IsLogging"])
        self.refused("TrailNotFoundException", elsewhere.get_trail_status, Name="org-trail")
        self.refused("InvalidHomeRegionException", elsewhere.update_trail, Name=self.ARN, EnableLogFileValidation=True)
        self.refused("InvalidHomeRegionException", elsewhere.stop_logging, Name=self.ARN)
        self.trail.stop_logging(Name=self.ARN)
        self.assertFalse(self.trail.get_trail_status(Name=self.ARN)["IsLogging"])

    def test_who_sees_it_and_who_changes_it(self) -> None:
        member = client("cloudtrail", ONE)
        self.assertEqual([trail["TrailARN"] for trail in member.describe_trails()["trailList"]], [self.ARN])
        self.assertEqual(client("cloudtrail", region="eu-west-1").describe_trails(includeShadowTrails=False)["trailList"], [])
        self.assertEqual(client("cloudtrail", region="eu-west-1").describe_trails()["trailList"][0]["HomeRegion"], REGION)
        self.refused("NotOrganizationMasterAccountException", member.stop_logging, Name=self.ARN)
        self.trail.register_organization_delegated_admin(MemberAccountId=ADMIN)
        client("cloudtrail", ADMIN).start_logging(Name=self.ARN)
        self.assertTrue(self.trail.get_trail_status(Name=self.ARN)["IsLogging"])

    def test_an_update_keeps_what_it_does_not_name(self) -> None:
        self.trail.update_trail(Name=self.ARN, EnableLogFileValidation=True)
        self.trail.update_trail(Name=self.ARN, KmsKeyId=f"arn:aws:kms:{REGION}:{ADMIN}:key/k")
        trail = self.trail.get_trail(Name=self.ARN)["Trail"]
        self.assertEqual((trail["LogFileValidationEnabled"], trail["IsMultiRegionTrail"], trail["KmsKeyId"]),
                         (True, True, f"arn:aws:kms:{REGION}:{ADMIN}:key/k"))
        self.trail.update_trail(Name=self.ARN, KmsKeyId="")
        self.assertNotIn("KmsKeyId", self.trail.get_trail(Name=self.ARN)["Trail"])
        self.refused("InvalidParameterCombinationException", self.trail.update_trail, Name=self.ARN, CloudWatchLogsLogGroupArn="arn:x")

    def test_event_selectors(self) -> None:
        default = [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}]
        self.assertEqual(self.trail.get_event_selectors(TrailName=self.ARN)["EventSelectors"], default)
        advanced = [{"Name": "management", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]
        self.trail.put_event_selectors(TrailName=self.ARN, AdvancedEventSelectors=advanced)
        answer = self.trail.get_event_selectors(TrailName=self.ARN)
        self.assertEqual((answer.get("EventSelectors"), answer["AdvancedEventSelectors"]), (None, advanced))
        blind = [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": False, "DataResources": [], "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
        self.trail.put_event_selectors(TrailName=self.ARN, EventSelectors=blind)
        self.assertEqual(self.trail.get_event_selectors(TrailName=self.ARN)["EventSelectors"], blind)
        self.refused("InvalidEventSelectorsException", self.trail.put_event_selectors, TrailName=self.ARN, EventSelectors=[{"ReadWriteType": "Some"}])

    def test_delivery_state(self) -> None:
        self.trail.start_logging(Name=self.ARN)
        self.state({"account": MANAGEMENT, "trail": self.ARN,
                    "delivery": {"LatestDeliveryError": "AccessDenied", "LatestDeliveryTime": "2026-01-01T00:00:00Z"}})
        status = self.trail.get_trail_status(Name=self.ARN)
        self.assertEqual((status["LatestDeliveryError"], status["LatestDeliveryTime"].isoformat()[:10]), ("AccessDenied", "2026-01-01"))
        self.state({"account": MANAGEMENT, "trail": "org-trail", "delivery": {"LatestDeliveryError": None}})
        self.assertNotIn("LatestDeliveryError", self.trail.get_trail_status(Name=self.ARN))

"""EC2, S3, S3 Control, KMS and RDS."""

from __future__ import annotations

import json
import urllib.error
from typing import Any

from botocore.exceptions import ClientError

from .testing import REGION, EmulatorTest, client, endpoint

ONE, TWO = "1" * 12, "2" * 12
ALL = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


class EC2Test(EmulatorTest):
    def test_regions(self) -> None:
        ec2 = client("ec2", ONE)
        self.assertEqual([region["RegionName"] for region in ec2.describe_regions()["Regions"]], ["eu-central-1", "eu-west-1", "us-east-1"])
        status = {region["RegionName"]: region["OptInStatus"] for region in ec2.describe_regions(AllRegions=True)["Regions"]}
        self.assertEqual((status["eu-central-1"], status["me-south-1"]), ("opt-in-not-required", "not-opted-in"))
        self.state({"account": ONE, "regions": ["eu-central-1", "me-south-1"]})
        self.assertEqual([region["OptInStatus"] for region in ec2.describe_regions()["Regions"]], ["opt-in-not-required", "opted-in"])
        self.assertEqual(len(client("ec2", TWO).describe_regions()["Regions"]), 3)

    def test_ebs_encryption_by_default(self) -> None:
        ec2 = client("ec2", ONE)
        self.assertEqual((ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"], ec2.get_ebs_default_kms_key_id()["KmsKeyId"]),
                         (False, "alias/aws/ebs"))
        ec2.create_volume(AvailabilityZone="eu-central-1a", Size=1)
        ec2.enable_ebs_encryption_by_default()
        key = f"arn:aws:kms:{REGION}:{ONE}:key/11111111-2222-3333-4444-555555555555"
        self.assertEqual(ec2.modify_ebs_default_kms_key_id(KmsKeyId=key.split("/")[1])["KmsKeyId"], key)
        ec2.create_volume(AvailabilityZone="eu-central-1a", Size=2)
        volumes = {volume["Size"]: volume for volume in ec2.describe_volumes()["Volumes"]}
        self.assertEqual((volumes[1]["Encrypted"], volumes[2]["Encrypted"], volumes[2]["KmsKeyId"]), (False, True, key))
        self.assertFalse(client("ec2", ONE, "eu-west-1").get_ebs_encryption_by_default()["EbsEncryptionByDefault"])
        ec2.reset_ebs_default_kms_key_id()
        self.assertEqual(ec2.get_ebs_default_kms_key_id()["KmsKeyId"], "alias/aws/ebs")
        ec2.disable_ebs_encryption_by_default()
        self.assertFalse(ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"])


class S3Test(EmulatorTest):
    def setUp(self) -> None:
        super().setUp()
        self.s3 = client("s3", ONE)
        self.make("one")

    def make(self, name: str, region: str = REGION) -> None:
        client("s3", ONE, region).create_bucket(Bucket=f"bucket-{name}", CreateBucketConfiguration={"LocationConstraint": region})

    def put_policy(self, *statements: dict[str, Any]) -> None:
        self.s3.put_bucket_policy(Bucket="bucket-one", Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))

    def test_tags_that_only_aws_sets(self) -> None:
        tags = [{"Key": "aws:cloudformation:stack-name", "Value": "web"}]
        with self.assertRaises(ClientError):
            self.s3.put_bucket_tagging(Bucket="bucket-one", Tagging={"TagSet": tags})
        self.refused("NoSuchTagSet", self.s3.get_bucket_tagging, Bucket="bucket-one")
        self.state({"account": ONE, "bucket": "bucket-one", "tags": {"aws:cloudformation:stack-name": "web"}})
        self.assertEqual(self.s3.get_bucket_tagging(Bucket="bucket-one")["TagSet"], tags)
        for state in ({"bucket": "bucket-two", "tags": {}}, {"bucket": "bucket-one"}, {"bucket": "bucket-one", "tags": {"a": 1}}):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.state({"account": ONE} | state)
            caught.exception.close()

    def test_listing(self) -> None:
        self.make("two", "eu-west-1")
        self.assertNotIn("BucketRegion", self.s3.list_buckets()["Buckets"][0])
        first = self.s3.list_buckets(MaxBuckets=1)
        second = self.s3.list_buckets(MaxBuckets=1, ContinuationToken=first["ContinuationToken"])
        self.assertEqual([(bucket["Name"], bucket["BucketRegion"]) for bucket in first["Buckets"] + second["Buckets"]],
                         [("bucket-one", REGION), ("bucket-two", "eu-west-1")])
        self.assertNotIn("ContinuationToken", second)
        self.state({"list_buckets_region": False})
        self.assertNotIn("BucketRegion", self.s3.list_buckets(MaxBuckets=1)["Buckets"][0])
        self.assertEqual(client("s3", TWO).list_buckets()["Buckets"], [])

    def test_a_new_bucket(self) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
        self.assertEqual(self.s3.get_bucket_encryption(Bucket="bucket-one")["ServerSideEncryptionConfiguration"]["Rules"], [rule])
        self.assertEqual(self.s3.get_public_access_block(Bucket="bucket-one")["PublicAccessBlockConfiguration"], ALL)
        self.assertEqual(self.s3.get_bucket_ownership_controls(Bucket="bucket-one")["OwnershipControls"]["Rules"],
                         [{"ObjectOwnership": "BucketOwnerEnforced"}])
        self.refused("NoSuchBucketPolicy", self.s3.get_bucket_policy, Bucket="bucket-one")
        self.refused("NoSuchBucketPolicy", self.s3.get_bucket_policy_status, Bucket="bucket-one")
        self.refused("ObjectLockConfigurationNotFoundError", self.s3.get_object_lock_configuration, Bucket="bucket-one")
        self.state({"new_bucket_public_access_block": False, "new_bucket_blocks_sse_c": True})
        self.make("old")
        self.refused("NoSuchPublicAccessBlockConfiguration", self.s3.get_public_access_block, Bucket="bucket-old")
        rules = self.s3.get_bucket_encryption(Bucket="bucket-old")["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rules[0]["BlockedEncryptionTypes"], {"EncryptionType": ["SSE-C"]})

    def test_encryption_is_kept_as_put(self) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:{REGION}:{ONE}:key/k"},
                "BucketKeyEnabled": True, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
        self.s3.put_bucket_encryption(Bucket="bucket-one", ServerSideEncryptionConfiguration={"Rules": [rule]})
        self.assertEqual(self.s3.get_bucket_encryption(Bucket="bucket-one")["ServerSideEncryptionConfiguration"]["Rules"], [rule])
        self.refused("MalformedXML", self.s3.put_bucket_encryption, Bucket="bucket-one", ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "rot13"}}]})
        self.s3.delete_bucket_encryption(Bucket="bucket-one")
        rules = self.s3.get_bucket_encryption(Bucket="bucket-one")["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(rules[0]["ApplyServerSideEncryptionByDefault"], {"SSEAlgorithm": "AES256"})

    def test_whose_bucket_it_is(self) -> None:
        self.refused("AccessDenied", self.s3.get_bucket_encryption, Bucket="bucket-one", ExpectedBucketOwner=TWO)
        self.s3.get_bucket_encryption(Bucket="bucket-one", ExpectedBucketOwner=ONE)
        self.refused("AccessDenied", client("s3", TWO).get_bucket_encryption, Bucket="bucket-one")
        self.refused("NoSuchBucket", self.s3.get_bucket_encryption, Bucket="bucket-none")
        self.refused("403", client("s3", TWO).head_bucket, Bucket="bucket-one")
        self.put_policy({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{TWO}:root"}, "Action": "s3:Get*", "Resource": "arn:aws:s3:::bucket-one"})
        client("s3", TWO).get_bucket_encryption(Bucket="bucket-one")

    def test_another_regions_endpoint(self) -> None:
        client("s3", ONE, "eu-west-1").get_bucket_location(Bucket="bucket-one")
        client("s3", ONE, "eu-west-1").get_bucket_encryption(Bucket="bucket-one")  # boto3 follows the redirect
        self.assertIn((301, "PermanentRedirect"), [(one["status"], one["error_code"]) for one in self.log("operation=GetBucketEncryption")])

    def test_public_policies(self) -> None:
        public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket-one/*"}
        with self.assertRaisesRegex(Exception, "BlockPublicPolicy"):
            self.put_policy(public)
        self.s3.delete_public_access_block(Bucket="bucket-one")
        s3control = client("s3control", ONE, address=endpoint().replace("127.0.0.1", "localhost"), proxies={"http": endpoint()})
        self.refused("NoSuchPublicAccessBlockConfiguration", s3control.get_public_access_block, AccountId=ONE)
        self.refused("AccessDenied", s3control.get_public_access_block, AccountId=TWO)
        s3control.put_public_access_block(AccountId=ONE, PublicAccessBlockConfiguration=ALL)
        self.assertEqual(s3control.get_public_access_block(AccountId=ONE)["PublicAccessBlockConfiguration"], ALL)
        with self.assertRaisesRegex(Exception, "BlockPublicPolicy"):
            self.put_policy(public)
        s3control.delete_public_access_block(AccountId=ONE)
        self.put_policy(public)
        self.assertTrue(self.s3.get_bucket_policy_status(Bucket="bucket-one")["PolicyStatus"]["IsPublic"])
        self.put_policy({**public, "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
        self.assertFalse(self.s3.get_bucket_policy_status(Bucket="bucket-one")["PolicyStatus"]["IsPublic"])
        self.refused("MalformedPolicy", self.s3.put_bucket_policy, Bucket="bucket-one", Policy="{")

    def test_a_bucket_policy_denies_a_role_of_the_account(self) -> None:
        self.organization(ONE)
        arn = f"arn:aws:iam::{ONE}:role/OrganizationAccountAccessRole"
        session = client("s3", client("sts").assume_role(RoleArn=arn, RoleSessionName="role")["Credentials"]["AccessKeyId"])
        session.get_bucket_encryption(Bucket="bucket-one")
        self.put_policy({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket-one"})
        self.refused("AccessDenied", session.get_bucket_encryption, Bucket="bucket-one")
        self.s3.delete_bucket_policy(Bucket="bucket-one")  # as administrator

    def test_acls_and_ownership(self) -> None:
        self.refused("AccessDenied", self.s3.put_bucket_acl, Bucket="bucket-one", ACL="public-read")
        self.s3.delete_public_access_block(Bucket="bucket-one")
        self.refused("AccessControlListNotSupported", self.s3.put_bucket_acl, Bucket="bucket-one", ACL="public-read")
        rule = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        self.s3.put_bucket_ownership_controls(Bucket="bucket-one", OwnershipControls=rule)
        self.s3.put_bucket_acl(Bucket="bucket-one", ACL="log-delivery-write")
        self.assertIn("http://acs.amazonaws.com/groups/s3/LogDelivery",
                      [grant["Grantee"].get("URI") for grant in self.s3.get_bucket_acl(Bucket="bucket-one")["Grants"]])
        rule = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        self.refused("InvalidBucketAclWithObjectOwnership", self.s3.put_bucket_ownership_controls, Bucket="bucket-one", OwnershipControls=rule)
        self.s3.put_bucket_acl(Bucket="bucket-one", ACL="private")
        self.s3.put_bucket_ownership_controls(Bucket="bucket-one", OwnershipControls=rule)
        self.s3.delete_bucket_ownership_controls(Bucket="bucket-one")
        self.refused("OwnershipControlsNotFoundError", self.s3.get_bucket_ownership_controls, Bucket="bucket-one")

    def test_versioning_and_object_lock(self) -> None:
        self.assertNotIn("Status", self.s3.get_bucket_versioning(Bucket="bucket-one"))
        self.s3.put_bucket_versioning(Bucket="bucket-one", VersioningConfiguration={"Status": "Enabled"})
        lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}}
        self.s3.put_object_lock_configuration(Bucket="bucket-one", ObjectLockConfiguration=lock)
        self.assertEqual(self.s3.get_object_lock_configuration(Bucket="bucket-one")["ObjectLockConfiguration"], lock)
        self.refused("InvalidBucketState", self.s3.put_bucket_versioning, Bucket="bucket-one", VersioningConfiguration={"Status": "Suspended"})


class KMSTest(EmulatorTest):
    def test_rotation(self) -> None:
        kms = client("kms", ONE)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        self.assertFalse(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
        self.refused("ValidationException", kms.enable_key_rotation, KeyId=key, RotationPeriodInDays=89)
        kms.enable_key_rotation(KeyId=key)
        self.assertEqual(kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"], 365)
        kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
        self.assertEqual(kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"], 90)
        kms.disable_key_rotation(KeyId=key)
        self.assertFalse(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
        self.state({"account": ONE, "region": REGION, "key": key, "key_metadata": {"Origin": "EXTERNAL"}})
        self.assertEqual(kms.describe_key(KeyId=key)["KeyMetadata"]["Origin"], "EXTERNAL")
        self.refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=key)
        kms.schedule_key_deletion(KeyId=key)
        self.refused("KMSInvalidStateException", kms.enable_key_rotation, KeyId=key)

    def test_a_key_is_disabled_by_its_id_or_arn(self) -> None:
        kms = client("kms", ONE)
        key = kms.create_key()["KeyMetadata"]
        for name in (key["Arn"], key["KeyId"]):
            kms.disable_key(KeyId=name)
            self.assertEqual(kms.describe_key(KeyId=name)["KeyMetadata"]["KeyState"], "Disabled")
            self.refused("DisabledException", kms.enable_key_rotation, KeyId=name)
            kms.enable_key(KeyId=name)
            self.assertEqual(kms.describe_key(KeyId=name)["KeyMetadata"]["KeyState"], "Enabled")

    def test_managers_aliases_and_pages(self) -> None:
        kms = client("kms", ONE)
        keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
        kms.create_alias(AliasName="alias/baseline", TargetKeyId=keys[0])
        self.assertEqual(kms.describe_key(KeyId="alias/baseline")["KeyMetadata"]["KeyManager"], "CUSTOMER")
        self.assertNotIn("alias/aws/ebs", {alias["AliasName"] for alias in kms.list_aliases(Limit=100)["Aliases"] if "TargetKeyId" in alias})
        managed = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
        self.assertEqual((managed["KeyManager"], managed["MultiRegion"], managed["KeyUsage"]), ("AWS", False, "ENCRYPT_DECRYPT"))
        self.refused("AccessDeniedException", kms.enable_key_rotation, KeyId=managed["KeyId"])
        pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 3}))
        self.assertEqual([len(page["Keys"]) for page in pages], [3, 1])
        aliases = [alias for page in kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 5}) for alias in page["Aliases"]]
        self.assertEqual([alias["TargetKeyId"] for alias in aliases if alias["AliasName"] == "alias/baseline"], [keys[0]])
        self.refused("NotFoundException", kms.describe_key, KeyId="alias/none")

    def test_a_key_policy_that_does_not_trust_iam(self) -> None:
        self.organization(ONE)
        arn = f"arn:aws:iam::{ONE}:role/OrganizationAccountAccessRole"
        session = client("kms", client("sts").assume_role(RoleArn=arn, RoleSessionName="role")["Credentials"]["AccessKeyId"])
        key = client("kms", ONE).create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ONE}:user/owner"}, "Action": "kms:*", "Resource": "*"}]}))["KeyMetadata"]["KeyId"]
        self.refused("AccessDeniedException", session.describe_key, KeyId=key)
        client("kms", ONE).describe_key(KeyId=key)


class RDSTest(EmulatorTest):
    def test_encrypted_or_not(self) -> None:
        rds = client("rds", ONE)
        self.assertEqual((rds.describe_db_instances()["DBInstances"], rds.describe_db_clusters()["DBClusters"]), ([], []))
        common = {"MasterUsername": "owner", "MasterUserPassword": "long-enough"}
        for name, encrypted in (("a", True), ("b", False)):
            rds.create_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.t3.micro", Engine="postgres", AllocatedStorage=10,
                                   StorageEncrypted=encrypted, **common)
            rds.create_db_cluster(DBClusterIdentifier=f"cluster-{name}", Engine="aurora-postgresql", StorageEncrypted=encrypted, **common)
        self.assertEqual([one["StorageEncrypted"] for one in rds.describe_db_instances()["DBInstances"]], [True, False])
        self.assertEqual([one["StorageEncrypted"] for one in rds.describe_db_clusters()["DBClusters"]], [True, False])

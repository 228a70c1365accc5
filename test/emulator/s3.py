"""S3: what a new bucket is like, who may read it, and the settings of buckets.

AWS: since 2023 a new bucket has SSE-S3, all four public access blocks and BucketOwnerEnforced; ListBuckets gives BucketRegion and
pages when it has a parameter; another region's endpoint redirects (301 PermanentRedirect); a wrong x-amz-expected-bucket-owner and
another account's bucket are AccessDenied; BlockPublicPolicy and BlockPublicAcls refuse; ACLs and BucketOwnerEnforced exclude each
other; a bucket policy's Deny binds the owner's principals too.
moto: none of that.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. IsPublic is computed simply
(an Allow for everybody without a condition), aws:SecureTransport is taken as true though the emulator speaks plain HTTP, and
administrators (see README.md) are not bound by a bucket policy.
"""

from __future__ import annotations

import base64
from typing import Any

from moto.s3.models import OWNER, FakeBucket, PublicAccessBlock, s3_backends

from . import organizations, policies, s3control
from .calls import Answer
from .errors import AWSError
from .registry import Request, operation
from .settings import BadState, Settings, account_key

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_ALGORITHMS = {"AES256", "aws:kms", "aws:kms:dsse", "aws:fsx", "aws:backup"}
_OWNERSHIP = {"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}
_ANYWHERE = {"GetBucketLocation", "CreateBucket", "ListBuckets"}
_PUBLIC_GRANTEES = ("global/AllUsers", "global/AuthenticatedUsers")


def _denied(request: Request, why: str = "identity") -> AWSError:
    return AWSError("AccessDenied", policies.denied_message(request.call, why))


def _owner(name: str) -> str:
    if name not in s3_backends.bucket_accounts:
        raise AWSError("NoSuchBucket", "The specified bucket does not exist", BucketName=name)
    return s3_backends.bucket_accounts[name][1]


def _bucket(request: Request) -> FakeBucket:
    """The bucket a request is about, after the checks every request to a bucket meets."""
    name = request.call.resource
    owner = _owner(name)
    bucket = s3_backends[owner]["aws"].buckets[name]
    expected = request.call.headers.get("x-amz-expected-bucket-owner")
    if expected and expected != owner:
        raise AWSError("AccessDenied", "Access Denied")
    if request.call.region != bucket.region_name and request.call.operation not in _ANYWHERE and request.settings.s3_region_redirects:
        error = AWSError("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. "
                         "Please send all future requests to this endpoint.", 301, Bucket=name,
                         Endpoint=f"{name}.s3.{bucket.region_name}.amazonaws.com")
        error.headers["x-amz-bucket-region"] = bucket.region_name
        raise error
    _authorize(request, bucket, owner)
    return bucket


def _authorize(request: Request, bucket: FakeBucket, owner: str) -> None:
    caller = request.identity
    allowed = owner == caller.account
    if bucket.policy and not (allowed and caller.kind == "administrator"):
        action = policies.iam_action("s3", request.call.operation)
        context = {"aws:PrincipalArn": sorted(caller.names - {caller.arn}) or [caller.arn], "aws:PrincipalAccount": [caller.account],
                   "aws:SecureTransport": ["true"], "s3:TlsVersion": ["1.3"]}
        if organization := organizations.organization_of(caller.account):
            context["aws:PrincipalOrgID"] = [organization.id]
        for statement in policies.statements(bucket.policy.decode()):
            if not policies.action_matches(statement, action):
                continue
            if not policies.principal_matches(statement, caller.names | {caller.arn}, caller.account):
                continue
            if not policies.conditions_hold(statement.get("Condition"), context):
                continue
            if statement.get("Effect") == "Deny":
                raise _denied(request, "resource")
            allowed = True
    if not allowed:
        raise _denied(request)


@operation("s3", "*")
def _other(request: Request) -> Answer:
    if request.call.resource:
        _bucket(request)
    return request.forward()


# Listing and creation.


@operation("s3", "ListBuckets")
def list_buckets(request: Request) -> dict[str, Any]:
    params = {key: value for key, value in request.params.items() if value not in (None, "")}
    buckets = sorted(s3_backends[request.account]["aws"].buckets.values(), key=lambda bucket: bucket.name)
    if prefix := params.get("Prefix"):
        buckets = [bucket for bucket in buckets if bucket.name.startswith(prefix)]
    if region := params.get("BucketRegion"):
        buckets = [bucket for bucket in buckets if bucket.region_name == region]
    if token := params.get("ContinuationToken"):
        try:
            after = base64.urlsafe_b64decode(token).decode()
        except ValueError:
            raise AWSError("InvalidArgument", "The continuation token provided is incorrect") from None
        buckets = [bucket for bucket in buckets if bucket.name > after]
    limit = params.get("MaxBuckets", 10000)
    if not 1 <= limit <= 10000:
        raise AWSError("InvalidArgument", "Argument max-buckets must be an integer between 1 and 10000")
    answer: dict[str, Any] = {"Owner": {"ID": OWNER}, "Buckets": [{"Name": bucket.name, "CreationDate": bucket.creation_date}
                                                                  for bucket in buckets[:limit]]}
    if params and request.settings.list_buckets_region:
        for one, bucket in zip(answer["Buckets"], buckets):
            one["BucketRegion"] = bucket.region_name
    if prefix:
        answer["Prefix"] = prefix
    if len(buckets) > limit:
        answer["ContinuationToken"] = base64.urlsafe_b64encode(buckets[limit - 1].name.encode()).decode()
    return answer


@operation("s3", "CreateBucket")
def create_bucket(request: Request) -> Answer:
    name = request.call.resource
    known = name in s3_backends.bucket_accounts
    answer = request.forward()
    if answer.status < 300 and not known:
        bucket = s3_backends[_owner(name)]["aws"].buckets[name]
        if request.settings.new_bucket_public_access_block:
            bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")
        bucket.ownership_rule = bucket.ownership_rule or "BucketOwnerEnforced"  # type: ignore[assignment]
        if request.settings.new_bucket_blocks_sse_c:
            _rules(bucket)[0]["BlockedEncryptionTypes"] = {"EncryptionType": ["SSE-C"]}
    return answer


# Encryption.


def _rules(bucket: FakeBucket) -> list[dict[str, Any]]:
    """The bucket's encryption rules; SSE-S3 until something else was put. CloudFormation leaves moto's own form."""
    if not hasattr(bucket, "emulator_rules"):
        rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
        if bucket.encryption:
            put = bucket.encryption.get("Rule", {})
            rule["ApplyServerSideEncryptionByDefault"] = put.get("ApplyServerSideEncryptionByDefault", rule["ApplyServerSideEncryptionByDefault"])
            rule["BucketKeyEnabled"] = str(put.get("BucketKeyEnabled", False)).lower() == "true"
        bucket.emulator_rules = [rule]  # type: ignore[attr-defined]
    return bucket.emulator_rules  # type: ignore[attr-defined]


@operation("s3", "GetBucketEncryption")
def get_bucket_encryption(request: Request) -> dict[str, Any]:
    return {"ServerSideEncryptionConfiguration": {"Rules": _rules(_bucket(request))}}


@operation("s3", "PutBucketEncryption")
def put_bucket_encryption(request: Request) -> None:
    bucket = _bucket(request)
    malformed = AWSError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
    rules = (request.get("ServerSideEncryptionConfiguration") or {}).get("Rules") or []
    if len(rules) != 1:
        raise malformed
    rule = dict(rules[0])
    default = rule.setdefault("ApplyServerSideEncryptionByDefault", {"SSEAlgorithm": "AES256"})
    algorithm, key = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
    if algorithm not in _ALGORITHMS:
        raise malformed
    if key and not algorithm.startswith("aws:kms"):
        raise AWSError("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
    if key and key.startswith("arn:") and key.split(":")[3] != bucket.region_name:
        raise AWSError("InvalidArgument", "KMS key ID must be in the same region as the bucket")
    rule.setdefault("BucketKeyEnabled", False)
    bucket.emulator_rules = [rule]  # type: ignore[attr-defined]
    bucket.encryption = {"Rule": {"ApplyServerSideEncryptionByDefault": default}}


@operation("s3", "DeleteBucketEncryption")
def delete_bucket_encryption(request: Request) -> None:
    bucket = _bucket(request)
    bucket.encryption = None
    if hasattr(bucket, "emulator_rules"):
        del bucket.emulator_rules


# Public access.


def _blocks(bucket: FakeBucket) -> dict[str, bool] | None:
    block = bucket.public_access_block
    if block is None:
        return None
    values = (block.block_public_acls, block.ignore_public_acls, block.block_public_policy, block.restrict_public_buckets)
    return {name: str(value).lower() == "true" for name, value in zip(BLOCKS, values)}


def _blocked(request: Request, bucket: FakeBucket, flag: str) -> bool:
    """Whether bucket or account blocks it; the stricter wins."""
    account = s3control.block_of(request.settings, bucket.account_id)
    return bool((_blocks(bucket) or {}).get(flag) or (account or {}).get(flag))


@operation("s3", "GetPublicAccessBlock")
def get_public_access_block(request: Request) -> dict[str, Any]:
    blocks = _blocks(_bucket(request))
    if blocks is None:
        raise AWSError("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found",
                       BucketName=request.call.resource)
    return {"PublicAccessBlockConfiguration": blocks}


@operation("s3", "PutPublicAccessBlock")
def put_public_access_block(request: Request) -> None:
    bucket = _bucket(request)
    wanted = request.get("PublicAccessBlockConfiguration") or {}
    bucket.public_access_block = PublicAccessBlock(*(str(bool(wanted.get(name))).lower() for name in BLOCKS))


@operation("s3", "DeletePublicAccessBlock")
def delete_public_access_block(request: Request) -> None:
    _bucket(request).public_access_block = None


def _is_public(policy: str | bytes | None) -> bool:
    if not policy:
        return False
    text = policy.decode() if isinstance(policy, bytes) else policy
    for statement in policies.statements(text):
        principal = statement.get("Principal")
        names = principal.get("AWS") if isinstance(principal, dict) else principal
        everybody = names == "*" or (isinstance(names, list) and "*" in names)
        if statement.get("Effect") == "Allow" and everybody and not statement.get("Condition"):
            return True
    return False


def _no_policy(name: str) -> AWSError:
    return AWSError("NoSuchBucketPolicy", "The bucket policy does not exist", BucketName=name)


@operation("s3", "GetBucketPolicy")
def get_bucket_policy(request: Request) -> dict[str, Any]:
    bucket = _bucket(request)
    if not bucket.policy:
        raise _no_policy(bucket.name)
    return {"Policy": bucket.policy.decode()}


@operation("s3", "GetBucketPolicyStatus")
def get_bucket_policy_status(request: Request) -> dict[str, Any]:
    bucket = _bucket(request)
    if not bucket.policy:
        raise _no_policy(bucket.name)
    return {"PolicyStatus": {"IsPublic": _is_public(bucket.policy)}}


@operation("s3", "PutBucketPolicy")
def put_bucket_policy(request: Request) -> None:
    bucket = _bucket(request)
    text = request.call.body.decode()
    try:
        statements = policies.statements(text)
        if not statements or len(text) > 20 * 1024:
            raise ValueError("empty or too large")
    except (ValueError, AttributeError):
        raise AWSError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'") from None
    for statement in statements:
        resources = statement.get("Resource", statement.get("NotResource", []))
        for resource in [resources] if isinstance(resources, str) else resources:
            name = resource.split(":::")[-1].split("/")[0]
            if not policies.wildcard(name, bucket.name):
                raise AWSError("MalformedPolicy", "Policy has invalid resource")
    if _is_public(text) and _blocked(request, bucket, "BlockPublicPolicy"):
        raise AWSError("AccessDenied", policies.denied_message(request.call, "identity").split(" because ")[0]
                       + " because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.")
    bucket.policy = text.encode()


@operation("s3", "DeleteBucketPolicy")
def delete_bucket_policy(request: Request) -> None:
    _bucket(request).policy = None


# Ownership and ACLs.


def _foreign_grants(bucket: FakeBucket) -> bool:
    grants = bucket.acl.grants if bucket.acl is not None else []
    return any(grantee.uri or grantee.id != OWNER for grant in grants for grantee in grant.grantees)


@operation("s3", "GetBucketOwnershipControls")
def get_bucket_ownership_controls(request: Request) -> dict[str, Any]:
    bucket = _bucket(request)
    if not bucket.ownership_rule:
        raise AWSError("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", BucketName=bucket.name)
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership_rule}]}}


@operation("s3", "PutBucketOwnershipControls")
def put_bucket_ownership_controls(request: Request) -> None:
    bucket = _bucket(request)
    rules = (request.get("OwnershipControls") or {}).get("Rules") or [{}]
    rule = rules[0].get("ObjectOwnership")
    if rule not in _OWNERSHIP:
        raise AWSError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
    if rule == "BucketOwnerEnforced" and _foreign_grants(bucket):
        raise AWSError("InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
    bucket.ownership_rule = rule


@operation("s3", "DeleteBucketOwnershipControls")
def delete_bucket_ownership_controls(request: Request) -> None:
    _bucket(request).ownership_rule = None


@operation("s3", "PutBucketAcl")
def put_bucket_acl(request: Request) -> Answer:
    bucket = _bucket(request)
    headers = request.call.headers
    canned = headers.get("x-amz-acl", "")
    grants = " ".join(value for name, value in headers.items() if name.lower().startswith("x-amz-grant-"))
    text = grants + request.call.body.decode("utf-8", "replace")
    public = canned in ("public-read", "public-read-write", "authenticated-read") or any(uri in text for uri in _PUBLIC_GRANTEES)
    if public and _blocked(request, bucket, "BlockPublicAcls"):
        raise AWSError("AccessDenied", "Access Denied")
    foreign = public or canned in ("log-delivery-write", "aws-exec-read") or "acs.amazonaws.com/groups" in text or (
        "<ID>" in text and text.count("<Grant>") > 1) or bool(grants)
    if foreign and bucket.ownership_rule == "BucketOwnerEnforced":
        raise AWSError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    return request.forward()


@operation("s3", "GetObjectLockConfiguration")
def get_object_lock_configuration(request: Request) -> dict[str, Any]:
    bucket = _bucket(request)
    if not bucket.object_lock_enabled:
        raise AWSError("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket",
                       BucketName=bucket.name)
    answer: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if bucket.default_lock_mode:
        retention: dict[str, Any] = {"Mode": bucket.default_lock_mode}
        if bucket.default_lock_years:
            retention["Years"] = int(bucket.default_lock_years)
        elif bucket.default_lock_days:
            retention["Days"] = int(bucket.default_lock_days)
        answer["Rule"] = {"DefaultRetention": retention}
    return {"ObjectLockConfiguration": answer}


@operation("s3", "PutBucketVersioning")
def put_bucket_versioning(request: Request) -> Answer:
    bucket = _bucket(request)
    status = (request.get("VersioningConfiguration") or {}).get("Status")
    if status not in ("Enabled", "Suspended"):
        raise AWSError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
    if status == "Suspended" and bucket.object_lock_enabled:
        raise AWSError("InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
    return request.forward()


# Tags.


@account_key("bucket")
def _set_tags(_: Settings, account: str, request: dict[str, Any]) -> None:
    name, tags = request["bucket"], request.get("tags")
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise BadState("bucket needs tags, an object of strings")
    if s3_backends.bucket_accounts.get(name, ("", ""))[1] != account:
        raise BadState(f"account {account} has no bucket {name}")
    s3_backends[account]["aws"].put_bucket_tagging(name, tags)

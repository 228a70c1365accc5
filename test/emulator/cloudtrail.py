"""CloudTrail: organization trails, home regions, shadow trails, event selectors, delivery state.

AWS: a trail is changed in its home region only (InvalidHomeRegionException); a name means a trail of this account and region, everything
else goes by ARN; a multi-region trail shows as a shadow trail in other regions, an organization trail in every member account; the
management account owns it even when CloudTrail's delegated administrator made it; a new trail logs all management events but is off.
moto: overwrites trails of the same name, crashes on StopLogging by ARN, has no default event selectors, looks for the bucket in the
trail's own account only.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. Bucket policies, key policies and
log group permissions are not checked; a rule can answer InsufficientEncryptionPolicyException and its like.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from moto.cloudtrail.models import Trail, cloudtrail_backends
from moto.s3.models import s3_backends

from . import organizations
from .errors import AWSError
from .identity import utcnow
from .registry import Request, operation
from .settings import BadState, Settings, account_key, parse_time

PRINCIPAL = "cloudtrail.amazonaws.com"
_ARN = re.compile(r"^arn:[a-z-]+:cloudtrail:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):trail/(?P<name>.+)$")
_READ_WRITE = {"All", "ReadOnly", "WriteOnly"}
_DEFAULT_SELECTORS = [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}]

Trail.check_bucket_exists = lambda self: None  # type: ignore[method-assign] # checked here, over all accounts


def _not_found(request: Request, name: str) -> AWSError:
    return AWSError("TrailNotFoundException", f"Unknown trail: {name} for the user: {request.account}")


def _check_bucket(name: str) -> None:
    if name not in s3_backends.bucket_accounts:
        raise AWSError("S3BucketDoesNotExistException", f"S3 bucket {name} does not exist!")


def _owner(request: Request) -> str:
    """The account whose organization trails the caller governs: the management account for its delegated administrator."""
    organization = organizations.organization_of(request.account)
    if organization is not None and organizations.delegated(request.account, PRINCIPAL):
        return organization.master_account_id
    return request.account


def _visible(request: Request) -> list[Trail]:
    """Every trail the caller sees in this region, shadows included."""
    organization = organizations.organization_of(request.account)
    accounts = [request.account]
    if organization is not None and organization.master_account_id != request.account:
        accounts.append(organization.master_account_id)
    found = []
    for account in accounts:
        for region, backend in list(cloudtrail_backends[account].items()):
            for trail in backend.trails.values():
                if (region == request.region or trail.is_multi_region) and (account == request.account or trail.is_org_trail):
                    found.append(trail)
    return found


def _find(request: Request, name: str) -> Trail:
    if name.startswith("arn:"):
        if not _ARN.match(name):
            raise AWSError("CloudTrailARNInvalidException", f"Invalid ARN: {name}")
        trail = next((trail for trail in _visible(request) if trail.arn == name), None)
    else:
        trail = next((trail for trail in _visible(request) if trail.trail_name == name and trail.region_name == request.region
                      and trail.account_id in (request.account, _owner(request))), None)
    if trail is None:
        raise _not_found(request, name)
    return trail


def _find_to_change(request: Request, name: str) -> Trail:
    trail = _find(request, name)
    if trail.account_id not in (request.account, _owner(request)):
        raise AWSError("NotOrganizationMasterAccountException", "The organization trail can be changed only by the organization's "
                       "management account or CloudTrail's delegated administrator.")
    if trail.region_name != request.region:
        raise AWSError("InvalidHomeRegionException", f"Trail {trail.arn} can be changed only in its home region {trail.region_name}.")
    return trail


def _selectors(trail: Trail) -> dict[str, Any]:
    if trail.advanced_event_selectors:
        return {"AdvancedEventSelectors": trail.advanced_event_selectors}
    return {"EventSelectors": trail.event_selectors or _DEFAULT_SELECTORS}


def _describe(trail: Trail, home: bool = True) -> dict[str, Any]:
    custom = bool(trail.advanced_event_selectors or (trail.event_selectors and trail.event_selectors != _DEFAULT_SELECTORS))
    answer = {"Name": trail.trail_name, "S3BucketName": trail.bucket_name, "S3KeyPrefix": trail.s3_key_prefix or None,
              "SnsTopicName": trail.sns_topic_name or None, "SnsTopicARN": trail.topic_arn,
              "IncludeGlobalServiceEvents": trail.include_global_service_events, "IsMultiRegionTrail": trail.is_multi_region,
              "TrailARN": trail.arn, "LogFileValidationEnabled": trail.log_validation, "CloudWatchLogsLogGroupArn": trail.cw_log_group_arn or None,
              "CloudWatchLogsRoleArn": trail.cw_role_arn or None, "KmsKeyId": trail.kms_key_id or None, "IsOrganizationTrail": trail.is_org_trail}
    if home:
        answer |= {"HomeRegion": trail.region_name, "HasCustomEventSelectors": custom, "HasInsightSelectors": bool(trail.insight_selectors)}
    return answer


def _key_arn(request: Request, key: str | None) -> str | None:
    if not key or key.startswith("arn:"):
        return key
    return f"arn:aws:kms:{request.region}:{request.account}:{key if key.startswith('alias/') else 'key/' + key}"


def _check(request: Request, multi_region: bool, global_events: bool, log_group: str | None, log_role: str | None) -> None:
    if multi_region and not global_events:
        raise AWSError("InvalidParameterCombinationException", "Multi-Region trail must include global service events.")
    if bool(log_group) != bool(log_role):
        raise AWSError("InvalidParameterCombinationException", "You must specify both CloudWatchLogsLogGroupArn and CloudWatchLogsRoleArn.")


def _check_organization(request: Request) -> None:
    backend = organizations.backend_of(request.account)
    owner = _owner(request)
    if backend is None or not organizations.is_management(owner):
        raise AWSError("NotOrganizationMasterAccountException", "The management account of an organization or its delegated administrator is required.")
    if not any(service["ServicePrincipal"] == PRINCIPAL for service in backend.services):
        raise AWSError("CloudTrailAccessNotEnabledException", "The management account must enable CloudTrail trusted access in AWS Organizations first.")


@operation("cloudtrail", "CreateTrail")
def create_trail(request: Request) -> dict[str, Any]:
    name, organization = request["Name"], request.get("IsOrganizationTrail", False)
    owner = request.account
    if organization:
        _check_organization(request)
        owner = _owner(request)
    if any(trail.trail_name == name and trail.account_id == owner for trail in _visible(request)):
        raise AWSError("TrailAlreadyExistsException", f"Trail {name} already exists for customer: {owner}")
    _check_bucket(request["S3BucketName"])
    multi, global_events = request.get("IsMultiRegionTrail", False), request.get("IncludeGlobalServiceEvents", True)
    _check(request, multi, global_events, request.get("CloudWatchLogsLogGroupArn"), request.get("CloudWatchLogsRoleArn"))
    backend = cloudtrail_backends[owner][request.region]
    if len(backend.trails) >= 5:
        raise AWSError("MaximumNumberOfTrailsExceededException", f"User: {owner} already has 5 trails in {request.region}.")
    trail = backend.create_trail(
        name, request["S3BucketName"], request.get("S3KeyPrefix"), request.get("SnsTopicName"), global_events, multi,
        request.get("EnableLogFileValidation", False), organization, request.get("CloudWatchLogsLogGroupArn"),
        request.get("CloudWatchLogsRoleArn"), _key_arn(request, request.get("KmsKeyId")), request.get("TagsList", []))
    return _describe(trail, home=False)


@operation("cloudtrail", "UpdateTrail")
def update_trail(request: Request) -> dict[str, Any]:
    trail = _find_to_change(request, request["Name"])
    if bucket := request.get("S3BucketName"):
        _check_bucket(bucket)
    if request.get("IsOrganizationTrail") and not trail.is_org_trail:
        _check_organization(request)
    group, role = request.get("CloudWatchLogsLogGroupArn"), request.get("CloudWatchLogsRoleArn")
    _check(request, request.get("IsMultiRegionTrail", trail.is_multi_region),
           request.get("IncludeGlobalServiceEvents", trail.include_global_service_events),
           trail.cw_log_group_arn if group is None else group, trail.cw_role_arn if role is None else role)
    trail.update(bucket, request.get("S3KeyPrefix"), request.get("SnsTopicName"), request.get("IncludeGlobalServiceEvents"),
                 request.get("IsMultiRegionTrail"), request.get("EnableLogFileValidation"), request.get("IsOrganizationTrail"), group, role,
                 _key_arn(request, request.get("KmsKeyId")))
    return _describe(trail, home=False)


@operation("cloudtrail", "DeleteTrail")
def delete_trail(request: Request) -> None:
    trail = _find_to_change(request, request["Name"])
    cloudtrail_backends[trail.account_id][trail.region_name].delete_trail(trail.trail_name)


@operation("cloudtrail", "GetTrail")
def get_trail(request: Request) -> dict[str, Any]:
    return {"Trail": _describe(_find(request, request["Name"]))}


@operation("cloudtrail", "DescribeTrails")
def describe_trails(request: Request) -> dict[str, Any]:
    names = request.get("trailNameList") or []
    trails = _visible(request)
    if not request.get("includeShadowTrails", True):
        trails = [trail for trail in trails if trail.region_name == request.region
                  and (trail.account_id == request.account or trail.account_id == _owner(request))]
    if names:
        trails = [trail for trail in trails if trail.arn in names or (trail.trail_name in names and trail.region_name == request.region)]
    return {"trailList": [_describe(trail) for trail in trails]}


@operation("cloudtrail", "ListTrails")
def list_trails(request: Request) -> dict[str, Any]:
    return {"Trails": [{"Name": trail.trail_name, "TrailARN": trail.arn, "HomeRegion": trail.region_name} for trail in _visible(request)]}


@operation("cloudtrail", "StartLogging")
def start_logging(request: Request) -> None:
    _find_to_change(request, request["Name"]).start_logging()


@operation("cloudtrail", "StopLogging")
def stop_logging(request: Request) -> None:
    _find_to_change(request, request["Name"]).stop_logging()


def _text(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time is not None else ""


@operation("cloudtrail", "GetTrailStatus")
def get_trail_status(request: Request) -> dict[str, Any]:
    trail = _find(request, request["Name"])
    status = trail.status
    answer: dict[str, Any] = {"IsLogging": status.is_logging, "TimeLoggingStarted": _text(status.started), "TimeLoggingStopped": _text(status.stopped)}
    if status.started is not None:
        delivered = utcnow() if status.is_logging else status.stopped
        answer |= {"StartLoggingTime": status.started, "LatestDeliveryTime": delivered, "LatestDeliveryAttemptTime": _text(delivered),
                   "LatestDeliveryAttemptSucceeded": _text(delivered)}
        if trail.log_validation:
            answer["LatestDigestDeliveryTime"] = delivered
        if trail.cw_log_group_arn:
            answer["LatestCloudWatchLogsDeliveryTime"] = delivered
    if status.stopped is not None:
        answer["StopLoggingTime"] = status.stopped
    for name, value in getattr(trail, "emulator_delivery", {}).items():
        answer[name] = value
    return {name: value for name, value in answer.items() if value is not None}


@operation("cloudtrail", "GetEventSelectors")
def get_event_selectors(request: Request) -> dict[str, Any]:
    trail = _find(request, request["TrailName"])
    return {"TrailARN": trail.arn, **_selectors(trail)}


@operation("cloudtrail", "PutEventSelectors")
def put_event_selectors(request: Request) -> dict[str, Any]:
    trail = _find_to_change(request, request["TrailName"])
    basic, advanced = request.get("EventSelectors"), request.get("AdvancedEventSelectors")
    invalid = AWSError("InvalidEventSelectorsException", "The event selectors are not valid.")
    if bool(basic) == bool(advanced):
        raise invalid
    if basic:
        if len(basic) > 5 or any(selector.get("ReadWriteType", "All") not in _READ_WRITE for selector in basic):
            raise invalid
        trail.event_selectors, trail.advanced_event_selectors = [
            {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": [], **selector}
            for selector in basic], []
    else:
        for selector in advanced:
            fields = selector.get("FieldSelectors") or []
            if not any(one.get("Field") == "eventCategory" for one in fields):
                raise invalid
        trail.event_selectors, trail.advanced_event_selectors = [], advanced
    return {"TrailARN": trail.arn, **_selectors(trail)}


@operation("cloudtrail", "RegisterOrganizationDelegatedAdmin")
def register_organization_delegated_admin(request: Request) -> None:
    backend = organizations.backend_of(request.account)
    if backend is None or not organizations.is_management(request.account):
        raise AWSError("NotOrganizationManagementAccountException", "Only the management account can register a delegated administrator.")
    organizations.register(backend, request["MemberAccountId"], PRINCIPAL)


@operation("cloudtrail", "DeregisterOrganizationDelegatedAdmin")
def deregister_organization_delegated_admin(request: Request) -> None:
    backend = organizations.backend_of(request.account)
    if backend is None or not organizations.is_management(request.account):
        raise AWSError("NotOrganizationManagementAccountException", "Only the management account can deregister a delegated administrator.")
    backend.deregister_delegated_administrator(AccountId=request["DelegatedAdminAccountId"], ServicePrincipal=PRINCIPAL)


@account_key("trail")
def _set_delivery(_: Settings, account: str, request: dict[str, Any]) -> None:
    wanted, delivery = request["trail"], request.get("delivery")
    if not isinstance(delivery, dict):
        raise BadState("trail needs delivery, an object with fields of GetTrailStatus")
    for backend in list(cloudtrail_backends[account].values()):
        for trail in backend.trails.values():
            if wanted in (trail.trail_name, trail.arn):
                kept = getattr(trail, "emulator_delivery", {})
                for name, value in delivery.items():
                    timed = name.endswith("Time") and not name.startswith("Time") and "Attempt" not in name
                    kept[name] = parse_time(value) if timed else value
                trail.emulator_delivery = kept  # type: ignore[attr-defined]
                return
    raise BadState(f"account {account} has no trail {wanted}")

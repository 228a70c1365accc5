"""KMS: rotation with its period, AWS managed keys, key policies, paging.

AWS: EnableKeyRotation takes 90 to 2560 days (365 by default) for enabled symmetric customer keys with AWS_KMS material; alias/aws/* are AWS
managed and made when first used, until then their alias has no TargetKeyId; lists page; a key policy that names neither the account
nor the caller shuts IAM out (AccessDeniedException).
moto: no period, alias/aws/* keys of CUSTOMER, everything in one page, no key policy, crashes on EnableKey and DisableKey by ARN.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. Administrators (see README.md) are not
bound by key policies.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from moto.kms.models import Key, kms_backends
from moto.kms.utils import RESERVED_ALIASES

from . import identity, policies
from .errors import AWSError
from .identity import utcnow
from .registry import Request, operation
from .settings import BadState, Settings, account_key


def _aws_managed(key: Key) -> bool:
    return any(name.startswith("alias/aws/") for name in key.aliases)


def _metadata(key: Key) -> dict[str, Any]:
    answer = dict(key.to_dict()["KeyMetadata"])
    answer["KeyUsage"] = answer.get("KeyUsage") or "ENCRYPT_DECRYPT"
    answer["MultiRegion"] = bool(answer.get("MultiRegion"))
    answer["KeyManager"] = "AWS" if _aws_managed(key) else "CUSTOMER"
    answer |= getattr(key, "emulator_metadata", {})
    for name in ("CreationDate", "DeletionDate", "ValidTo"):
        if isinstance(answer.get(name), (int, float)):
            answer[name] = datetime.fromtimestamp(answer[name], timezone.utc).replace(tzinfo=None)
    if "KeyState" in getattr(key, "emulator_metadata", {}):
        answer["Enabled"] = answer["KeyState"] == "Enabled"
    return answer


def _key(request: Request, name: str, aliases: bool = False) -> Key:
    """The key a request names, if its policy lets the caller in."""
    account, region, short = request.account, request.region, name
    if name.startswith("arn:"):
        _, _, _, region, account, short = name.split(":", 5)
    missing = AWSError("NotFoundException", f"Key 'arn:aws:kms:{region}:{account}:{short}' does not exist" if short.startswith("key/") else
                       f"Alias arn:aws:kms:{region}:{account}:{short} is not found." if short.startswith("alias/") else
                       f"Key 'arn:aws:kms:{region}:{account}:key/{short}' does not exist")
    if region != request.region:
        raise AWSError("NotFoundException", f"Invalid arn {region}")
    if short.startswith("alias/") and not aliases:
        raise AWSError("NotFoundException", f"Invalid keyId '{name}'")
    backend = kms_backends[account][region]
    short = short.removeprefix("key/")
    if short.startswith("alias/"):
        short = backend.get_key_id_from_alias(short) or ""
    key = backend.keys.get(short)
    if key is None:
        raise missing
    caller = request.identity
    if not (caller.kind == "administrator" and caller.account == account):
        action = policies.iam_action("kms", request.call.operation)
        allowed = _aws_managed(key)
        for statement in policies.statements(key.policy or "{}"):
            if policies.action_matches(statement, action) and policies.principal_matches(
                    statement, caller.names | {caller.arn}, caller.account):
                if statement.get("Effect") == "Deny":
                    raise identity.denied(request.call, "resource")
                allowed = True
        if not allowed:
            raise AWSError("AccessDeniedException", policies.denied_message(request.call, "resource").split(" with an explicit")[0]
                           + f" on resource: {key.arn} because no resource-based policy allows the {action} action")
    return key


def _page(request: Request, name: str, items: list[dict[str, Any]], default: int) -> dict[str, Any]:
    limit, start = request.get("Limit") or default, 0
    if marker := request.get("Marker"):
        try:
            start = int(marker)
        except ValueError:
            raise AWSError("InvalidMarkerException", "Could not deserialize marker") from None
    answer: dict[str, Any] = {name: items[start:start + limit], "Truncated": start + limit < len(items)}
    if answer["Truncated"]:
        answer["NextMarker"] = str(start + limit)
    return answer


@operation("kms", "ListKeys")
def list_keys(request: Request) -> dict[str, Any]:
    keys = kms_backends[request.account][request.region].keys.values()
    return _page(request, "Keys", [{"KeyId": key.id, "KeyArn": key.arn} for key in keys], 100)


@operation("kms", "ListAliases")
def list_aliases(request: Request) -> dict[str, Any]:
    backend = kms_backends[request.account][request.region]
    wanted = _key(request, request["KeyId"]).id if request.get("KeyId") else None
    aliases = [{"AliasName": alias.alias_name, "AliasArn": alias.alias_arn, "TargetKeyId": alias.target_key_id}
               for alias in backend.list_aliases() if wanted in (None, alias.target_key_id)]
    if wanted is None:
        known = {alias["AliasName"] for alias in aliases}
        aliases += [{"AliasName": name, "AliasArn": f"arn:aws:kms:{request.region}:{request.account}:{name}"}
                    for name in RESERVED_ALIASES if name not in known]
    return _page(request, "Aliases", sorted(aliases, key=lambda alias: alias["AliasName"]), 50)


@operation("kms", "DescribeKey")
def describe_key(request: Request) -> dict[str, Any]:
    return {"KeyMetadata": _metadata(_key(request, request["KeyId"], aliases=True))}


@operation("kms", "GetKeyRotationStatus")
def get_key_rotation_status(request: Request) -> dict[str, Any]:
    key = _key(request, request["KeyId"])
    metadata = _metadata(key)
    on = metadata["KeyManager"] == "AWS" or key.key_rotation_status
    answer: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": on and metadata["KeyState"] == "Enabled"}
    if answer["KeyRotationEnabled"]:
        period = getattr(key, "emulator_period", 365)
        answer |= {"RotationPeriodInDays": period, "NextRotationDate": getattr(key, "emulator_rotation_set", utcnow()) + timedelta(days=period)}
    return answer


def _rotatable(request: Request) -> Key:
    key = _key(request, request["KeyId"])
    metadata = _metadata(key)
    if metadata["KeyManager"] == "AWS":
        raise identity.denied(request.call, "resource")
    state = metadata["KeyState"]
    if state == "Disabled":
        raise AWSError("DisabledException", f"{key.arn} is disabled.")
    if state != "Enabled":
        raise AWSError("KMSInvalidStateException", f"{key.arn} is {state}.")
    if metadata["KeySpec"] != "SYMMETRIC_DEFAULT" or metadata["Origin"] != "AWS_KMS" or metadata.get("CustomKeyStoreId"):
        raise AWSError("UnsupportedOperationException", f"{key.arn} does not support automatic rotation.")
    return key


@operation("kms", "EnableKeyRotation")
def enable_key_rotation(request: Request) -> None:
    key = _rotatable(request)
    period = request.get("RotationPeriodInDays")
    if period is not None and not 90 <= period <= 2560:
        raise AWSError("ValidationException", f"1 validation error detected: Value '{period}' at 'rotationPeriodInDays' failed to satisfy "
                       "constraint: Member must have value between 90 and 2560")
    key.key_rotation_status = True
    key.emulator_period = period or 365  # type: ignore[attr-defined]
    key.emulator_rotation_set = utcnow()  # type: ignore[attr-defined]


@operation("kms", "DisableKeyRotation")
def disable_key_rotation(request: Request) -> None:
    _rotatable(request).key_rotation_status = False


@operation("kms", "EnableKey")
def enable_key(request: Request) -> None:
    key = _key(request, request["KeyId"])
    key.enabled, key.key_state = True, "Enabled"


@operation("kms", "DisableKey")
def disable_key(request: Request) -> None:
    key = _key(request, request["KeyId"])
    key.enabled, key.key_state = False, "Disabled"


@operation("kms", "GetKeyPolicy")
def get_key_policy(request: Request) -> dict[str, Any]:
    return {"Policy": _key(request, request["KeyId"]).policy or "{}", "PolicyName": "default"}


@account_key("key")
def _set_metadata(_: Settings, account: str, request: dict[str, Any]) -> None:
    region, name, metadata = request.get("region"), request["key"], request.get("key_metadata")
    if not region or not isinstance(metadata, dict):
        raise BadState("key needs region and key_metadata")
    key = kms_backends[account][region].keys.get(name.split("key/")[-1])
    if key is None:
        raise BadState(f"account {account} has no key {name} in {region}")
    key.emulator_metadata = {**getattr(key, "emulator_metadata", {}), **metadata}  # type: ignore[attr-defined]

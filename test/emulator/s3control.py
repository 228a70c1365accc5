"""S3 Control: the account's public access block.

AWS: the account id is in the host name and in x-amz-account-id and must be the caller's; an account without a configuration answers
NoSuchPublicAccessBlockConfiguration; flags left out of a Put are false. moto: the same, but for the name resolution.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

from typing import Any

from . import policies
from .errors import AWSError
from .registry import Request, operation
from .settings import Settings

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _all(settings: Settings) -> dict[str, dict[str, bool]]:
    return settings.service("s3control", dict)


def block_of(settings: Settings, account: str) -> dict[str, bool] | None:
    return _all(settings).get(account)


def _check(request: Request) -> None:
    if request.call.resource != request.account:
        raise AWSError("AccessDenied", policies.denied_message(request.call, "identity"), 403)


@operation("s3control", "GetPublicAccessBlock")
def get_public_access_block(request: Request) -> dict[str, Any]:
    _check(request)
    block = block_of(request.settings, request.account)
    if block is None:
        raise AWSError("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found",
                       AccountId=request.account)
    return {"PublicAccessBlockConfiguration": block}


@operation("s3control", "PutPublicAccessBlock")
def put_public_access_block(request: Request) -> None:
    _check(request)
    wanted = request.get("PublicAccessBlockConfiguration") or {}
    _all(request.settings)[request.account] = {name: bool(wanted.get(name)) for name in BLOCKS}


@operation("s3control", "DeletePublicAccessBlock")
def delete_public_access_block(request: Request) -> None:
    _check(request)
    _all(request.settings).pop(request.account, None)

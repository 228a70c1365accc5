"""AWS errors and how each protocol spells them.

AWS: error shapes of the query, EC2, REST-XML, JSON and REST-JSON protocols (Smithy protocol specifications), access-denied and
throttling codes of the single services' API references. moto: mostly the same, except that missing operations are HTML.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

# HTTP statuses of codes that are not 400.
_STATUS = {
    "AccessDenied": 403,
    "UnauthorizedOperation": 403,
    "AuthFailure": 401,
    "InvalidClientTokenId": 403,
    "UnrecognizedClientException": 400,
    "ExpiredToken": 403,
    "NoSuchEntity": 404,
    "EntityAlreadyExists": 409,
    "DeleteConflict": 409,
    "LimitExceeded": 409,
    "ReportNotPresent": 410,
    "ReportExpired": 410,
    "ReportInProgress": 404,
    "NoSuchBucket": 404,
    "NoSuchBucketPolicy": 404,
    "NoSuchPublicAccessBlockConfiguration": 404,
    "OwnershipControlsNotFoundError": 404,
    "ObjectLockConfigurationNotFoundError": 404,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "BucketAlreadyOwnedByYou": 409,
    "BucketAlreadyExists": 409,
    "InvalidBucketState": 409,
    "InternalFailure": 500,
    "NotImplementedByEmulator": 501,
    "SlowDown": 503,
    "RequestLimitExceeded": 503,
    "TooManyRequestsException": 429,
}

# GuardDuty's access-denied answer is 403, the JSON services' is 400.
_REST_JSON_DENIED_STATUS = 403


class AWSError(Exception):
    """An error answer of an AWS service."""

    def __init__(self, code: str, message: str, status: int | None = None, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status if status is not None else _STATUS.get(code, 400)
        self.members = members
        self.headers: dict[str, str] = {}


def access_denied_code(service: str, protocol: str) -> str:
    """The code with which a service refuses a caller."""
    if service == "ec2":
        return "UnauthorizedOperation"
    if protocol in ("json", "rest-json"):
        return "AccessDeniedException"
    return "AccessDenied"


def access_denied_status(protocol: str) -> int:
    return 400 if protocol == "json" else 403


def throttling(service: str, protocol: str) -> AWSError:
    """The error with which a service says that it is called too often."""
    if service == "ec2":
        return AWSError("RequestLimitExceeded", "Request limit exceeded.")
    if service == "s3":
        return AWSError("SlowDown", "Please reduce your request rate.")
    if service == "guardduty":
        return AWSError("TooManyRequestsException", "Rate exceeded")
    if service == "organizations":
        return AWSError("TooManyRequestsException", "Rate exceeded", 400)
    if protocol in ("json", "rest-json"):
        return AWSError("ThrottlingException", "Rate exceeded")
    return AWSError("Throttling", "Rate exceeded")


def disabled_region(service: str, protocol: str) -> AWSError:
    """The error of a regional endpoint for an account that has not enabled the region."""
    if service == "ec2":
        return AWSError("AuthFailure", "AWS was not able to validate the provided access credentials")
    return invalid_token(service, protocol)


def invalid_token(service: str, protocol: str) -> AWSError:
    """The error for an access key AWS does not know."""
    if service == "s3":
        return AWSError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403)
    if service == "ec2":
        return AWSError("AuthFailure", "AWS was not able to validate the provided access credentials")
    if protocol in ("json", "rest-json"):
        return AWSError("UnrecognizedClientException", "The security token included in the request is invalid.",
                        403 if protocol == "rest-json" else 400)
    return AWSError("InvalidClientTokenId", "The security token included in the request is invalid.")


def expired_token(service: str, protocol: str) -> AWSError:
    """The error for a session whose time is over."""
    message = "The security token included in the request is expired"
    if service == "s3":
        return AWSError("ExpiredToken", "The provided token has expired.", 400)
    if service == "ec2":
        return AWSError("RequestExpired", "Request has expired.", 400)
    if protocol in ("json", "rest-json"):
        return AWSError("ExpiredTokenException", message, 403 if protocol == "rest-json" else 400)
    return AWSError("ExpiredToken", message)


def render(error: AWSError, service: str, protocol: str, request_id: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error in the service's protocol."""
    headers = dict(error.headers)
    if protocol in ("json", "rest-json"):
        headers["Content-Type"] = "application/x-amz-json-1.1" if protocol == "json" else "application/json"
        headers["x-amzn-ErrorType"] = error.code
        body: dict[str, Any] = {"__type": error.code, "message": error.message, **error.members}
        if service == "organizations":
            body["Message"] = error.message
        return headers, json.dumps(body).encode()
    code, message = escape(error.code), escape(error.message)
    members = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in error.members.items())
    if protocol == "ec2":
        headers["Content-Type"] = "text/xml;charset=UTF-8"
        text = (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>")
    elif protocol == "rest-xml" and service == "s3":
        headers["Content-Type"] = "application/xml"
        text = (f"<Error><Code>{code}</Code><Message>{message}</Message>{members}"
                f"<RequestId>{request_id}</RequestId><HostId>emulator</HostId></Error>")
    else:
        headers["Content-Type"] = "text/xml"
        kind = "Receiver" if error.status >= 500 else "Sender"
        text = (f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message>{members}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>")
    return headers, b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode()

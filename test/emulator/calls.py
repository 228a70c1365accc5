"""An AWS call: what a request asks for, of whom, and by whom."""

from __future__ import annotations

import functools
import io
import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from werkzeug.datastructures import EnvironHeaders, MultiDict

from . import identity, models
from .identity import Identity
from .policies import is_write
from .settings import Settings

if TYPE_CHECKING:
    from .requestlog import Entry

_SCOPE = re.compile(r"Credential=([^/\s]+)/(\d+)/([^/]*)/([^/]+)/aws4_request")
_LOOPBACK_HOST = re.compile(r"^(?:(?P<prefix>.+)\.)?(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$")
_REGION_TOKEN = re.compile(r"\s*region/[a-z0-9-]+")

# Where the name of the resource stands in a request's input, by service; the first that is there counts.
_RESOURCES = {
    "sts": ["RoleArn"],
    "iam": ["UserName", "RoleName", "GroupName", "PolicyArn", "PolicyName", "PolicySourceArn", "SerialNumber", "AccessKeyId",
            "InstanceProfileName"],
    "organizations": ["AccountId", "ResourceId", "ChildId", "OrganizationalUnitId", "ParentId", "TargetId", "PolicyId",
                      "AccountName"],
    "cloudtrail": ["Name", "TrailName", "ResourceId"],
    "kms": ["KeyId", "TargetKeyId", "AliasName"],
    "rds": ["DBInstanceIdentifier", "DBClusterIdentifier", "DBSnapshotIdentifier"],
    "cloudformation": ["StackName", "StackSetName"],
    "ec2": ["KmsKeyId", "VolumeId", "VolumeId.1", "InstanceId", "InstanceId.1", "SnapshotId"],
}


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @functools.cached_property
    def error_code(self) -> str:
        if self.status < 400:
            return ""
        for name, value in self.headers:
            if name.lower() == "x-amzn-errortype":
                return value.split(":")[0]
        if found := re.search(rb"<Code>([^<]+)</Code>", self.body):
            return found.group(1).decode()
        if found := re.search(rb'"(?:__type|code|Code)"\s*:\s*"([^"]+)"', self.body):
            return found.group(1).decode().split("#")[-1]
        return {403: "403", 404: "404"}.get(self.status, str(self.status))


class Call:
    """One request. `params` is its input with the model's names, parsed when first asked for."""

    def __init__(self, environ: dict[str, Any], settings: Settings) -> None:
        self.environ = environ
        self.settings = settings
        self.request_id = str(uuid.uuid4())
        self.method: str = environ["REQUEST_METHOD"]
        self.headers = EnvironHeaders(environ)
        self.body = _read_body(environ)
        self.entry: Entry | None = None
        self.rewrite_account = ""
        self.moto_account = ""  # set where moto is to look into another account's state than the caller's
        url = urlsplit(environ.get("REQUEST_URI") or environ.get("RAW_URI") or environ["PATH_INFO"])
        self.path = url.path or "/"
        self.query: MultiDict[str, str] = MultiDict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        host = environ.get("HTTP_HOST", "")
        found = _LOOPBACK_HOST.match(host)
        self.host_prefix = (found["prefix"] or "") if found else ""

        access_key, self.region, signing_name = self._scope()
        self.service = self._service(signing_name)
        self.protocol = models.protocol(self.service)
        self.labels: dict[str, str] = {}
        self.form: MultiDict[str, str] = MultiDict()
        self.operation = self._operation()
        self.identity: Identity = identity.resolve(access_key, self.headers.get("x-moto-account-id", ""), settings)
        self.account = self.identity.account
        self.resource = self._resource()

    # What the request says.

    def _scope(self) -> tuple[str, str, str]:
        found = _SCOPE.search(self.headers.get("Authorization", "")) or _SCOPE.search(
            "Credential=" + unquote(self.query.get("X-Amz-Credential", "")))
        if found is None:
            return "", "us-east-1", ""
        return found[1], found[3] or "us-east-1", found[4].lower()

    def _service(self, signing_name: str) -> str:
        if not signing_name:
            action = re.search(rb"(?:^|&)Action=([A-Za-z]+)", self.body)
            return "sts" if action and action[1].startswith(b"AssumeRole") else "s3"
        if signing_name == "s3" and self.path.startswith("/v20180820/"):
            return "s3control"
        return signing_name

    def _operation(self) -> str:
        if target := self.headers.get("X-Amz-Target"):
            return target.split(".")[-1]
        if cbor := re.search(r"/service/[^/]+/operation/([A-Za-z0-9]+)$", self.path):
            return cbor[1]
        if self.protocol in ("query", "ec2"):
            self.form = MultiDict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
            return self.form.get("Action") or self.query.get("Action") or "Unknown"
        router = models.router(self.service)
        if router is None:
            return "Unknown"
        path = self.path
        if self.service == "s3" and self.host_prefix:
            path = f"/{self.host_prefix}{path}"
        found = router.match(self.method, path, self.query, self.headers)
        if found is None:
            return "Unknown"
        self.labels = found[1]
        return found[0]

    @functools.cached_property
    def params(self) -> dict[str, Any]:
        operation = models.operation_model(self.service, self.operation)
        if operation is None:
            return {}
        values = self.query.copy()
        values.update(self.form)
        return models.parse(operation, method=self.method, path=self.path, labels=self.labels, values=values,
                            headers=self.headers, body=self.body)  # type: ignore[arg-type]

    @functools.cached_property
    def _json(self) -> dict[str, Any]:
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def _resource(self) -> str:
        if self.service == "s3":
            return unquote(self.labels.get("Bucket", ""))
        if self.service == "s3control":
            return self.headers.get("x-amz-account-id") or self.host_prefix
        if self.service == "guardduty":
            return self.labels.get("DetectorId") or str(self._json.get("adminAccountId", ""))
        source: Any = self.form if self.protocol in ("query", "ec2") else self._json
        for name in _RESOURCES.get(self.service, []):
            if value := source.get(name):
                return str(value)
        return ""

    # For rules and the log.

    @property
    def write(self) -> bool:
        return is_write(self.operation)

    def attribute(self, name: str) -> str:
        if name in ("role", "access_key"):
            return str(getattr(self.identity, name))
        return str(getattr(self, name))

    # For moto.

    def moto_environ(self) -> dict[str, Any]:
        """The request as moto is to see it: account and region settled."""
        environ = dict(self.environ)
        environ["wsgi.input"] = io.BytesIO(self.body)
        environ["CONTENT_LENGTH"] = str(len(self.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input_terminated"] = True
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.moto_account or self.account
        environ["HTTP_USER_AGENT"] = _REGION_TOKEN.sub("", environ.get("HTTP_USER_AGENT", ""))
        return environ


def _read_body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        return stream.read()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return stream.read(length) if length else b""

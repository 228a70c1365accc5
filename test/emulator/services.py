"""Imports every service module, which registers its handlers."""

from . import ec2, guardduty, iam, organizations, s3, s3control, sts  # noqa: F401

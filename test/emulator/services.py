"""Imports every service module, which registers its handlers."""

from . import cloudtrail, ec2, guardduty, iam, kms, organizations, s3, s3control, sts  # noqa: F401

"""Imports every service module, which registers its handlers."""

from . import organizations, sts  # noqa: F401

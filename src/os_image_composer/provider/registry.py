"""Which provider builds a target. Every distribution with data under `config/osv` has one."""

from __future__ import annotations

from os_image_composer.config.spec import Target
from os_image_composer.ospackage import http_library  # noqa: F401 - first, for its effect
from os_image_composer.provider.provider import Provider
from os_image_composer.provider.services import Services


def provider_for(target: Target, services: Services) -> Provider:
    """The provider of `target`, not yet initialised."""
    return Provider(target, services)

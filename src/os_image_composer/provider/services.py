"""What the provider needs from outside: settings, the clock, somebody who listens."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.config.settings import Settings


@dataclass(frozen=True)
class Services:
    settings: Settings
    clock: Clock
    listener: Listener

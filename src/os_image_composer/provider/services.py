"""What the provider needs from outside: settings, the clock, somebody who listens."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.config.settings import Settings
from os_image_composer.signing.key_files import Passphrases, no_passphrase


@dataclass(frozen=True)
class Services:
    """`passphrases` is asked for the passphrase of a key file that needs one."""

    settings: Settings
    clock: Clock
    listener: Listener
    passphrases: Passphrases = no_passphrase

"""Does the image have the packages that its own boot needs? Told from the lock, before anything is built.

Which package has a file is what the distribution's data say. The steps look for the files themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from os_image_composer.config.distribution import Distribution, PackagedFile
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import TemplateError
from os_image_composer.ospackage.lock import Lock


def absent(lock: Lock, packages: Iterable[str]) -> tuple[str, ...]:
    """Those of `packages` that the image does not have, each once. What the template asks for by name is there, by
    whatever package the repository meets it."""
    image = lock.sets["image"]
    there = {package.name for package in image.packages()}
    there |= {text.partition("=")[0].strip() for group in image.asked for text in group.packages}
    return tuple(dict.fromkeys(name for name in packages if name not in there))


def check_initrd_needs(spec: ImageSpec, lock: Lock, distribution: Distribution, needs: Sequence[PackagedFile]) -> None:
    """Raises TemplateError `initrd-incomplete`: an initrd without these would stop at the machine's first start. Where
    the data do not know for certain which packages have them, the step that makes the initrd has the word."""
    data = distribution.initrd.read_only_root
    missing = absent(lock, (need.package for need in needs))
    if not missing or data is None or not data.packages_known:
        return
    key = "systemConfig.immutability.enabled" if spec.immutability.enabled else "disk"
    files = (f"/{need.path} is in {need.package}" for need in needs if need.package in missing)
    raise TemplateError(
        "initrd-incomplete",
        f"the initrd of a root that cannot be written to needs what the image does not have: {', '.join(missing)}",
        cause="; ".join(files),
        hint=f"add to systemConfig.packages: {', '.join(missing)}",
        origin=spec.origin(key),
    )

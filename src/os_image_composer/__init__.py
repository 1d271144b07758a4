"""os-image-composer: one YAML template in, one bootable OS image out.

Imports inside the package go one way (docs/architecture.md):
cli → provider → image → chroot → ospackage → build, config → errors.
"""

__version__ = "0.1.0"

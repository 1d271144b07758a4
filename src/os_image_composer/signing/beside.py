"""What lies beside an image for its signatures, by name. Apart from what makes it, which is slow to load."""

from __future__ import annotations

#: Ends the name of the folder with the keys to enrol, after the image's own.
KEYS = ".secure-boot"

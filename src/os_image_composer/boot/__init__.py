"""Booting an image in QEMU and saying how it went.

Reads values only: an image file in, a `BootVerdict` out. May import build (clock), chroot's process door and
errors; the front end and tests import it. How images are made does not belong here.
"""

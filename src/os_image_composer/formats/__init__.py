"""What on-disk formats say: partition tables, filesystems, EFI programs, read from bytes without any tool or mount.

Every reader takes a `Window` and gives values, or raises `FormatError`; none trusts a length, an offset or a count that
it read, so bytes from anybody may be looked at. Imports nothing of the project. What the values mean for an image is
for `report`, how the formats are written for `image`.
"""

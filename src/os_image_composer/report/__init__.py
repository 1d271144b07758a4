"""What an image is made of: the bill of materials as SPDX and CycloneDX, and what `inspect` sees in an image file.

Reads values only, and of files only what it is handed; nothing here runs a program, mounts or changes anything. May
import ospackage, config, formats and errors; provider and the front end import it.
"""

"""`python -m os_image_composer`, the same as the console script."""

from os_image_composer.cli.main import main

main()

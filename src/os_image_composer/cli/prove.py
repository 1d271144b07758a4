"""`doctor --self-test` with the standard library alone, for a host that has nothing of ours installed yet:

    PYTHONPATH=src python3 -m os_image_composer.cli.prove FOLDER

FOLDER is where layers would be; what is made in it is removed. Exit code 1 when something failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from os_image_composer.build.scratch import Scratch
from os_image_composer.chroot.check import HostFacts
from os_image_composer.chroot.doctor import examine_host
from os_image_composer.chroot.doctor_store import try_store
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.self_test import self_test
from os_image_composer.cli.checks import check_lines, passed
from os_image_composer.config.id_range import ROOT_ID_RANGE


def main(folder: Path) -> int:
    host = HostFacts.of_this_process()
    checks = examine_host(host, ROOT_ID_RANGE)
    if passed(checks):
        ids = IdMap.for_caller(ROOT_ID_RANGE)
        checks = (*checks, try_store(host, folder, ids))
        with Scratch(folder, Sandbox(ids, folder).remove).folder() as scratch:
            checks = (*checks, *self_test(Sandbox(ids, scratch), scratch))
    for line in check_lines(checks):
        print(line)
    return 0 if passed(checks) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

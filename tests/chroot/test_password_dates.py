"""Dates of passwords that were set by a clock that is before the epoch."""

from __future__ import annotations

from os_image_composer.chroot.password_dates import redated

SHADOW = b"""root:*:19000:0:99999:7:::
daemon:!:19688::::::
admin:$y$j9T$19688:19687:0:99999:7:::
later:!:0:0:99999:7:::
never:!::0:99999:7:::
"""


def test_only_passwords_that_were_set_on_these_days_are_dated_anew() -> None:
    assert redated(SHADOW, {b"19687", b"19688"}, b"20783").splitlines() == [
        b"root:*:19000:0:99999:7:::",
        b"daemon:!:20783::::::",
        b"admin:$y$j9T$19688:20783:0:99999:7:::",
        b"later:!:0:0:99999:7:::",
        b"never:!::0:99999:7:::",
    ]


def test_what_is_no_line_of_a_shadow_file_stays_as_it_is() -> None:
    odd = b"\n19688\n:19688\nx:y:z"
    assert redated(odd, {b"19688"}, b"1") == odd

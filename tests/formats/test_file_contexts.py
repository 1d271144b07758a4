"""Labels by the text of a policy. That they are those of libselinux, for a whole tree, is shown by
tests/e2e/test_selinux.py."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from os_image_composer.formats.file_contexts import FileContexts
from os_image_composer.formats.window import FormatError


def label(text: str, path: str, kind: int = stat.S_IFREG, more: Mapping[str, str] | None = None) -> str | None:
    """The type of `path`'s label; `more` are further files by the end of their name."""
    texts = {end: content.encode() for end, content in {"": text, **(more or {})}.items()}
    found = FileContexts(texts).label(path.encode(), kind)
    return found.split(b":")[2].decode() if found else None


def rules(*lines: str) -> str:
    """`PATTERN [-TYPE] TYPE` with the rest of a label around the type."""
    return "".join(f"{line.rpartition(' ')[0]}\tsystem_u:object_r:{line.rpartition(' ')[2]}:s0\n" for line in lines)


def test_later_rule_wins() -> None:
    assert label(rules("/a/.* one", "/a/b.* two"), "/a/bc") == "two"
    assert label(rules("/a/b.* two", "/a/.* one"), "/a/bc") == "one"


def test_rule_without_magic_wins_over_later_patterns() -> None:
    text = rules(r"/usr/bin/a\.out exact", "/usr/.* pattern")
    assert label(text, "/usr/bin/a.out") == "exact"
    assert label(text, "/usr/bin/aXout") == "pattern"


def test_of_two_rules_without_magic_the_later_wins() -> None:
    assert label(rules("/a one", "/a two"), "/a") == "two"


def test_homes_come_after_the_policy_and_the_administrators_rules_after_both() -> None:
    more = {".homedirs": rules("/home/.* home"), ".local": rules("/home/x/.* local")}
    assert label(rules("/home/.* base"), "/home/y", more=more) == "home"
    assert label(rules("/home/.* base"), "/home/x/y", more=more) == "local"


@pytest.mark.parametrize(
    ("letter", "kind"),
    [
        ("b", stat.S_IFBLK),
        ("c", stat.S_IFCHR),
        ("d", stat.S_IFDIR),
        ("p", stat.S_IFIFO),
        ("l", stat.S_IFLNK),
        ("s", stat.S_IFSOCK),
        ("-", stat.S_IFREG),
    ],
)
def test_rule_for_one_type_of_file_is_for_no_other(letter: str, kind: int) -> None:
    text = rules("/a/.* any", f"/a/.* -{letter} own", "/b any", f"/b -{letter} own")
    assert label(text, "/a/x", kind) == "own"
    assert label(text, "/b", kind) == "own"
    other = stat.S_IFREG if kind != stat.S_IFREG else stat.S_IFDIR
    assert label(text, "/a/x", other) == "any"
    assert label(text, "/b", other) == "any"


def test_none_takes_the_label_that_an_earlier_rule_gives() -> None:
    text = rules("/run/.* runtime") + "/run/lock/.*\t<<none>>\n/proc\t-d\t<<none>>\n"
    assert label(text, "/run/x") == "runtime"
    assert label(text, "/run/lock/x") is None
    assert label(text, "/proc", stat.S_IFDIR) is None
    assert label(text, "/other") is None


def test_pattern_is_for_the_whole_path() -> None:
    text = rules("/a/b one")
    assert label(text, "/a/bc") is None
    assert label(text, "/x/a/b") is None
    assert label(rules("/a/b.? one"), "/a/bcd") is None


def test_root_and_what_lies_in_it() -> None:
    text = rules("/.* default", "/ -d root", "/[^/]+ -d top", "/usr(/.*)? usr")
    assert label(text, "/", stat.S_IFDIR) == "root"
    assert label(text, "/srv", stat.S_IFDIR) == "top"
    assert label(text, "/usr", stat.S_IFDIR) == "usr"
    assert label(text, "/usr/x") == "usr"
    assert label(text, "/file") == "default"


def test_character_before_a_quantifier_may_be_missing() -> None:
    for pattern, path in (("/a/bc?/d", "/a/b/d"), ("/a/bc*", "/a/b"), ("/a/bc{0,2}", "/a/b"), ("/a/?b", "/a/b")):
        assert label(rules(f"{pattern} one"), path) == "one", pattern
    assert label(rules("/a/bc+ one"), "/a/b") is None


def test_alternatives_in_a_group_do_not_narrow_the_rest() -> None:
    assert label(rules("/opt/(x|y)/z one"), "/opt/y/z") == "one"
    assert label(rules("/(opt|srv)/z one"), "/srv/z") == "one"


def test_first_name_that_is_plain_must_be_the_paths_first_name() -> None:
    """libselinux cuts it off both, so an alternative at the top is matched against the rest, and anchored at one end
    only."""
    text = rules("/usr/bin/a|/b one")
    assert label(text, "/usr/x/b") == "one"
    assert label(text, "/opt/x/b") is None
    assert label(text, "/usr/bin/ax") == "one"


def test_alias_stands_for_the_place_it_names() -> None:
    text = rules("/usr/lib/.* lib", "/lib other", "/srv/.* srv")
    dist = {".subs_dist": "# comment\n/lib /usr/lib\n/lib64 /usr/lib\n/data /\n"}
    assert label(text, "/lib/x", more=dist) == "lib"
    assert label(text, "/lib64/x", more=dist) == "lib"
    assert label(text, "/library/x", more=dist) is None
    assert label(text, "/data/srv/x", more=dist) == "srv"


def test_administrators_alias_comes_before_the_distributions_and_the_last_line_before_the_first() -> None:
    text = rules("/usr/lib/.* lib", "/a/.* a", "/b/.* b")
    both = {".subs": "/x /lib\n", ".subs_dist": "/lib /usr/lib\n"}
    assert label(text, "/x/y", more=both) == "lib"
    assert label(text, "/x/y", more={".subs_dist": "/x /a\n/x /b\n"}) == "b"


def test_classes_of_posix_and_names_that_are_no_text_are_known() -> None:
    assert label(rules("/dev/sd[[:alpha:]]+[[:digit:]]* disk"), "/dev/sda1") == "disk"
    contexts = FileContexts({"": rules("/a/.. two", "/a/\\. dot").encode()})
    assert contexts.label(b"/a/\xc3\xa9", stat.S_IFREG) == b"system_u:object_r:two:s0"
    assert contexts.label(b"/a/\n\n", stat.S_IFREG) == b"system_u:object_r:two:s0"


def test_neither_pattern_nor_name_can_make_it_take_for_ever() -> None:
    """With backtracking each of these takes longer than the universe is old."""
    text = rules(r"/a/.*\.so(\.[^/]*)*x one", "/b/(y+)+z one")
    contexts = FileContexts({"": text.encode()})
    begun = time.monotonic()
    assert contexts.label(b"/a/l.so" + b"." * 3000 + b"/", stat.S_IFREG) is None
    assert contexts.label(b"/b/" + b"y" * 4000, stat.S_IFREG) is None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/a", "a rule has a pattern and a label"),
        ("/a -x system_u:object_r:t:s0", "'-x' is no type of file"),
        ("/a nonsense", "'nonsense' is not a label"),
        ("/\N{LATIN SMALL LETTER E WITH ACUTE} system_u:object_r:t:s0", "printable ASCII"),
        ("/a\x01b system_u:object_r:t:s0", "printable ASCII"),
        ("/" + "a" * 9000 + " system_u:object_r:t:s0", "too long"),
    ],
)
def test_line_that_is_no_rule_is_refused_with_its_place(line: str, said: str) -> None:
    with pytest.raises(FormatError, match=f"policy/file_contexts.local:3: .*{said}"):
        FileContexts({"": b"", ".local": f"# one\n\n{line}\n".encode()}, "policy/file_contexts")


@pytest.mark.parametrize("pattern", ["/a/(b", "/a/[b", "/a/(?=b)c", r"/a/(b)\1", "/a/b{2000}", "/a/((b{99}){99}){99}"])
def test_pattern_that_cannot_be_used_is_refused_with_its_place_when_it_is_needed(pattern: str) -> None:
    contexts = FileContexts({"": rules(f"{pattern} t").encode()})
    assert contexts.label(b"/other", stat.S_IFREG) is None
    with pytest.raises(FormatError, match="file_contexts:1: the pattern cannot be used: "):
        contexts.label(b"/a/b", stat.S_IFREG)


NAMES = st.sampled_from(["a", "b", "ab", "lib", "x.so", "..", "a.b"])
PIECES = st.sampled_from(
    [*("a", "b", "ab", "lib", "x", r"\.", ".", "/", "/", "/a/", "(/.*)?", ".*", "[^/]*", "[^/]+", "(a|b)", "(/lib)?"),
     *("a?", "b*", "(ab){0,2}", "[ab]", "/?", "(.*/)?", "|")]
)  # fmt: skip


def as_libselinux_does(lines: list[tuple[str, str]], path: str, kind: str) -> str | None:
    """Every rule, the last first, those without magic before all others, each cut at its plain first name."""
    exact = [line for line in lines if not re.search(r"[.^$?*+|\[({]", re.sub(r"\\.", "", line[0]))]
    stem = path[: path.find("/", 1)] if path.find("/", 1) > 0 else None
    for pattern, wanted in reversed([*(line for line in lines if line not in exact), *exact]):
        end = pattern.find("/", 1)
        own = pattern[:end] if end > 0 and not re.search(r"[.^$?*+|\[({]", pattern[:end]) else None
        if own is not None and own != stem:
            continue
        rest, text = (pattern[len(own) :], path[len(own) :]) if own else (pattern, path)
        if wanted in ("", kind) and re.search(f"^{rest}$", text, re.DOTALL):
            return f"t{lines.index((pattern, wanted))}"
    return None


@given(
    st.lists(
        st.tuples(st.lists(PIECES, min_size=1, max_size=5).map("".join), st.sampled_from(["", "-d", "--"])),
        max_size=8,
        unique=True,
    ),
    st.lists(st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names)), min_size=1, max_size=4),
)
@settings(max_examples=150, deadline=None, database=None)
def test_index_by_folder_changes_nothing(lines: list[tuple[str, str]], paths: list[str]) -> None:
    """Of rules and paths made at random, held against each other one by one."""
    lines = [("/" + pattern, wanted) for pattern, wanted in lines]
    lines = list(dict.fromkeys(lines))
    text = "".join(f"{pattern} {wanted} u:r:t{number}\n" for number, (pattern, wanted) in enumerate(lines))
    contexts = FileContexts({"": text.encode()})
    for path in [*paths, "/"]:
        for kind, mode in (("-d", stat.S_IFDIR), ("--", stat.S_IFREG)):
            found = contexts.label(path.encode(), mode)
            assert (found.decode()[4:] if found else None) == as_libselinux_does(lines, path, kind), (path, kind)

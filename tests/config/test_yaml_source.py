from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.config.findings import plain, where
from os_image_composer.config.yaml_source import parse_yaml, read_yaml
from os_image_composer.errors import TemplateError, UsageError


def reference_and_place(text: str) -> tuple[str, str]:
    with pytest.raises(TemplateError) as caught:
        parse_yaml(text, "f.yml")
    assert [str(caught.value.origin)] == [str(finding.origin) for finding in caught.value.findings]
    return caught.value.reference, str(caught.value.origin)


def test_every_key_and_value_knows_its_line_and_column() -> None:
    tree = parse_yaml("a:\n  - b: 1\n    c: {d: x}\n", "f.yml")
    assert str(where(tree, ("a",), key=True)) == "f.yml:1:1"
    assert str(where(tree, ("a", 0))) == "f.yml:2:5"
    assert str(where(tree, ("a", 0, "b"))) == "f.yml:2:8"
    assert str(where(tree, ("a", 0, "c", "d"), key=True)) == "f.yml:3:9"
    assert str(where(tree, ("a", 0, "c", "d"))) == "f.yml:3:12"


def test_a_place_that_is_not_there_is_the_nearest_above_it() -> None:
    tree = parse_yaml("a:\n  b: 1\n", "f.yml")
    assert str(where(tree, ("a", "c", "d"))) == "f.yml:1:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("'0'", "0"),
        ('"true"', "true"),
        ("!!str 13", "13"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    read = plain(parse_yaml(f"key: {text}\n", "f.yml"))
    assert isinstance(read, dict)
    assert read["key"] == value
    assert type(read["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "reference", "place"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "duplicate-key", "4:3"),
        ("", "empty-file", "1:1"),
        ("# nothing but a comment\n", "empty-file", "1:1"),
        ("- a\n- b\n", "wrong-type", "1:1"),
        ("just text\n", "wrong-type", "1:1"),
        ("a: [1, 2\nb: 3\n", "yaml-syntax", "2:2"),
        ("a:\n\t- b\n", "yaml-syntax", "2:1"),
        ("a: 1\nb: x\x07y\n", "yaml-syntax", "2:5"),
        ("a: *nothing\n", "yaml-syntax", "1:4"),
        ("a: &x [*x]\n", "yaml-syntax", "1:8"),
        ("a: !!python/object/apply:os.system [x]\n", "yaml-tag", "1:4"),
        ("a: !secret x\n", "yaml-tag", "1:4"),
        ("a: 1\n---\nb: 2\n", "two-documents", "2:1"),
        ("a: &d {b: 1}\nc:\n  <<: *d\n", "yaml-merge-key", "3:3"),
        ("? [a, b]\n: 1\n", "wrong-type", "1:3"),
    ],
)
def test_what_is_not_a_template_is_refused_with_its_place(text: str, reference: str, place: str) -> None:
    assert reference_and_place(text) == (reference, f"f.yml:{place}")


def test_an_alias_stands_for_what_it_names() -> None:
    assert plain(parse_yaml("a: &x [1, 2]\nb: *x\n", "f.yml")) == {"a": [1, 2], "b": [1, 2]}


def test_aliases_that_multiply_beyond_the_limit_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    reference, place = reference_and_place("\n".join(lines))
    assert reference == "too-many-values"
    assert place.startswith(("f.yml:4:", "f.yml:5:"))


def test_deep_nesting_is_refused_before_it_exhausts_the_stack() -> None:
    reference, _ = reference_and_place("a: " + "[" * 5000 + "]" * 5000)
    assert reference == "too-deep"


def test_a_file_of_more_than_one_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yml"
    path.write_bytes(b"a: 1\n" + b"#" * (1024 * 1024))
    with pytest.raises(TemplateError) as caught:
        read_yaml(path)
    assert caught.value.reference == "file-too-large"


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.yml"
    path.write_bytes("a: ä\n".encode() + b"b: \xe4\n")
    with pytest.raises(TemplateError) as caught:
        read_yaml(path)
    assert (caught.value.reference, str(caught.value.origin)) == ("not-utf-8", f"{path}:2:4")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert plain(read_yaml(path)) == {"a": 1}


@pytest.mark.parametrize("name", ["template.json", "template", "template.yml.bak"])
def test_only_yml_and_yaml_files_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a: 1\n")
    with pytest.raises(TemplateError) as caught:
        read_yaml(tmp_path / name)
    assert caught.value.reference == "not-yaml-file"


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(TemplateError, match="is not a regular file"):
        read_yaml(tmp_path / "folder.yml")
    with pytest.raises(TemplateError, match="is not a regular file"):
        read_yaml(tmp_path)
    with pytest.raises(TemplateError, match="does not exist"):
        read_yaml(tmp_path / "absent.yml")


def test_the_caller_chooses_which_error_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_yaml(tmp_path / "absent.yml", UsageError)


def test_the_tree_does_not_print_its_values() -> None:
    assert "hunter2" not in repr(parse_yaml("password: hunter2\n", "f.yml"))

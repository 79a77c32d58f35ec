"""YAML as people may write it here: types by YAML 1.2, a place for everything, and no way to blow it up."""

import math
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.faults import Faults, Place
from sitekeeper.located_yaml import Document, parse_document, read_document, resolve


def parse(text: str | bytes) -> tuple[Document | None, list[str]]:
    faults = Faults()
    content = text if isinstance(text, bytes) else text.encode()
    document = parse_document(content, "f.yaml", faults)
    return document, [f"{f.line}:{f.column} {f.code}" for f in faults.found]


@pytest.mark.parametrize(
    "text", ["NO", "no", "on", "Off", "yes", "y", "0123", "12:30", "1_000", "0b11", "+", "1e", "0x", "="]
)
def test_what_only_looks_like_something_else_is_text(text: str) -> None:
    """A word that older YAML turned into a boolean, a time or an octal number stays what was written."""
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("0x5350", 0x5350),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-1e3", -1000.0),
        ("2.", 2.0),
        ("-.inf", -math.inf),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    """Booleans, nulls and numbers of the YAML 1.2 core schema are recognised, with their Python types."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_quotation_marks_make_text() -> None:
    """A quoted number or boolean is text, as a value and as a key."""
    document, faults = parse('a: \'1\'\n"true": "null"\n')
    assert not faults
    assert document is not None
    assert document.data == {"a": "1", "true": "null"}


def test_keys_have_types_too() -> None:
    """Keys are resolved like values: an integer map and a bool map can be written without quotation marks."""
    document, _ = parse("{0: off, true: 1, name: x}")
    assert document is not None
    assert document.data == {0: "off", True: 1, "name": "x"}


def test_every_value_and_key_has_its_place() -> None:
    """Lines and columns are 1-based and count characters, also behind Chinese text."""
    document, _ = parse("a:\n  - b: 海港\n    c: [1, {d: 2}]\n")
    assert document is not None
    assert document.place(("a", 0, "b")) == Place("f.yaml", 2, 8)
    assert document.place(("a", 0, "c", 1, "d")) == Place("f.yaml", 3, 16)
    assert document.place(("a", 0, "c", 1, "d"), key=True) == Place("f.yaml", 3, 13)
    assert document.place(("a", 0, "missing", 3)) == Place("f.yaml", 2, 5), "the nearest thing around it"


def test_a_duplicate_key_names_both_places_and_other_faults_are_still_found() -> None:
    """A duplicate key does not hide what stands after it, and the message tells where the first one is."""
    faults = Faults()
    document = parse_document(b"a: 1\nb: 2\na: !x 3\n", "f.yaml", faults)
    assert [(f.line, f.column, f.code) for f in faults.found] == [(3, 1, "duplicate-key"), (3, 4, "tag")]
    assert "f.yaml:1:1" in faults.found[0].message
    assert document is not None
    assert document.data == {"a": 1, "b": 2}, "the first one counts"


@pytest.mark.parametrize("keys", ["1: a, 0x1: b", "true: a, True: b", "1: a, true: b", "a: x, 'a': y"])
def test_keys_that_mean_the_same_are_duplicates(keys: str) -> None:
    """Two spellings of one key are one key."""
    assert parse("{" + keys + "}")[1][0].endswith("duplicate-key")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1 file-empty"),
        ("# only a comment\n", "1:1 file-empty"),
        ("a:\n\tb: 1\n", "2:1 tab"),
        ("a: 1\n\tb: 2\n", "2:1 tab"),
        ("a: [1, 2\n", "2:1 yaml-syntax"),
        ("a: b: c\n", "1:5 yaml-syntax"),
        ("a: *x\n", "1:4 unknown-alias"),
        ("a: 1\n---\nb: 2\n", "2:1 second-document"),
        ("? [1]\n: 2\n", "1:3 key-not-scalar"),
        ("a: !!int '3'\n", "1:4 tag"),
        ("a: ! 3\n", "1:4 tag"),
        ("a: 1\nb: \x01\n", "2:4 bad-character"),
        ("a: \x00\n", "1:4 bad-character"),
    ],
)
def test_what_is_not_allowed_is_named_with_its_place(text: str, fault: str) -> None:
    """Every kind of syntax fault has a code, a line and a column."""
    assert parse(text)[1] == [fault]


def test_gbk_text_is_named_where_it_begins() -> None:
    """A file in another encoding is a fault at its first foreign character, not a crash or mojibake."""
    assert parse("a: 1\nb: 海\n".encode("gbk"))[1] == ["2:4 not-utf8"]


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    """Files from Windows editors read like any other, places included."""
    document, faults = parse(b"\xef\xbb\xbfa: 1\r\nb: {c: 2}\r\n")
    assert not faults
    assert document is not None
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.place(("b", "c")) == Place("f.yaml", 2, 8)


def test_an_alias_stands_for_its_anchor() -> None:
    """An alias gives the anchored value, and its places are those of the anchored text."""
    document, faults = parse("a: &x {n: 1}\nb: *x\n")
    assert not faults
    assert document is not None
    assert document.data == {"a": {"n": 1}, "b": {"n": 1}}
    assert document.place(("b", "n")) == Place("f.yaml", 1, 11)


def test_aliases_cannot_multiply(monkeypatch) -> None:
    """A document of a few hundred bytes that stands for a thousand million values is refused, where it grows."""
    monkeypatch.setattr("sitekeeper.located_yaml.MAX_COPIED", 4_000)
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))
    start = time.process_time()
    _, faults = parse("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + levels)
    assert faults == ["4:16 too-many-copies"]
    assert time.process_time() - start < 1.0


def test_an_alias_of_itself_ends() -> None:
    """A value that contains itself is refused instead of recursing for ever."""
    assert parse("&a [*a, *a]")[1] == ["1:5 too-deep"]


@pytest.mark.parametrize("text", [b"[" * 200_000 + b"]" * 200_000, b"- " * 200_000 + b"x", b"{a: " * 200_000])
def test_a_wall_of_brackets_is_a_fault(text: bytes) -> None:
    """Two hundred thousand brackets, which exhaust the C stack of a recursive composer, are refused at the 33rd."""
    start = time.process_time()
    assert parse(text)[1][0].endswith("too-deep")
    assert time.process_time() - start < 0.5


def test_a_file_is_bounded_before_it_is_parsed(tmp_path) -> None:
    """A file larger than the limit is refused by its size."""
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: 1\n" * 100)
    faults = Faults()
    assert read_document(path, "big.yaml", faults, max_bytes=499) is None
    assert [f.code for f in faults.found] == ["file-too-big"]
    assert read_document(tmp_path, "a folder", faults) is None
    assert faults.found[-1].code == "file-not-regular"


_scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(max_size=8)
_trees = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None)
@given(_trees)
def test_what_is_written_with_care_is_read_back(tree: object) -> None:
    """Any tree of scalars, written with every text quoted, comes back equal, and every part of it has a place."""

    class Quoting(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    document, faults = parse(yaml.dump(tree, Dumper=Quoting, allow_unicode=True))
    assert not faults
    assert document is not None
    assert document.data == tree
    assert document.place(()).line >= 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_get_out_as_another_error(content: bytes) -> None:
    """Whatever the bytes are, the result is a document or at least one fault, never a foreign exception."""
    document, faults = parse(content)
    assert document is not None or faults

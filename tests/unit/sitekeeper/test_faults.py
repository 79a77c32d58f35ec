"""Near misses, and collecting faults."""

import pytest

from sitekeeper.faults import MAX_FAULTS, Faults, Place, nearest
from sitekeeper.model.errors import ConfigError, Fault


@pytest.mark.parametrize(
    ("word", "meant"),
    [("hosst", "host"), ("prot", "port"), ("timeuot", "timeout"), ("Port", "port"), ("drivre", "driver"), ("xyz", "")],
)
def test_the_nearest_word_is_found_by_edit_distance(word: str, meant: str) -> None:
    """A slip of one or two letters, a swap or a capital is recognised; another word is not."""
    assert nearest(word, ["host", "port", "timeout", "driver"]) == meant


def test_short_words_must_be_very_near() -> None:
    """Of a word of three letters, one may differ and not two."""
    assert nearest("a1", ["b2"]) == ""
    assert nearest("L1", ["L01", "L22"]) == "L01"


def test_all_faults_come_out_sorted_by_place() -> None:
    """`stop_if_any` raises every fault, in the order of the files, each once."""
    faults = Faults()
    faults.add(Place("b.yaml", 1, 1), "file-empty")
    faults.add(Place("a.yaml", 10, 1), "file-empty")
    faults.add(Place("a.yaml", 9, 2), "missing-key", name="host")
    faults.add(Place("a.yaml", 9, 2), "missing-key", name="host")
    with pytest.raises(ConfigError) as caught:
        faults.stop_if_any()
    assert [f"{f.file}:{f.line}" for f in caught.value.faults] == ["a.yaml:9", "a.yaml:10", "b.yaml:1"]


def test_faults_are_bounded_but_counted() -> None:
    """Beyond the limit faults are counted only, and the result is still a failure."""
    faults = Faults()
    for line in range(MAX_FAULTS + 5):
        faults.put(Fault("a.yaml", line + 1, 1, "x", "x"))
    assert (len(faults.found), faults.left_out) == (MAX_FAULTS, 5)


def test_messages_come_in_three_languages_with_the_same_code() -> None:
    """The language changes the words and never the code or the place."""
    said = []
    for lang in ("en", "zh-Hant", "zh-Hans"):
        faults = Faults(lang)
        faults.add(Place("a.yaml", 1, 2), "missing-key", name="host")
        said.append(faults.found[0])
    assert len({f.message for f in said}) == 3
    assert {(f.code, f.line, f.column) for f in said} == {("missing-key", 1, 2)}

"""Local tables: what they add to an event, and what becomes of bad files."""

import os
from pathlib import Path

import pytest

from edge import tables
from edge.tables import Lookup, TableFile, Tables, parse
from sitekeeper.model.clock import HOUR, SECOND
from sitekeeper.model.errors import FormatError

CARDS = b"cred,status\nh1:aa,valid\nh1:bb,lost\nh1:cc,mislaid\n"
STATUS = Lookup("status", "credentials", "cred", "status", "unknown", ("valid", "lost", "unknown"))
SOURCE = "door-1/read.event"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Tables]:
    path = tmp_path / "credentials.csv"
    path.write_bytes(CARDS)
    made = Tables({SOURCE: [STATUS]}, {"credentials": TableFile(path=path, key="cred", stale=24 * HOUR)})
    made.look()
    return path, made


def status(of: Tables, cred: object) -> object:
    return of.enrich(SOURCE, {"cred": cred, "granted": True})["status"]  # type: ignore[dict-item]


def test_an_event_is_told_with_what_the_table_knows(made) -> None:
    """A known card has its status, a strange one that for strange ones; what is no word of it is unknown."""
    _, found = made
    assert [status(found, cred) for cred in ("h1:aa", "h1:bb", "h1:zz", "h1:cc", None)] == [
        "valid", "lost", "unknown", None, None,
    ]  # fmt: skip
    assert found.enrich("door-1/rex.event", {"granted": True}) == {"granted": True}


def test_a_file_that_turns_bad_keeps_its_last_rows(made) -> None:
    """What was known goes on being known, the table counts as bad, and a good file is taken when it is there."""
    path, found = made
    for number, bad in enumerate((b"\xff\xfe", b"other,status\n", CARDS + b"h1:aa,lost\n", b"cred,status\nh1:aa\n"), 1):
        path.write_bytes(bad)
        os.utime(path, (number, number))
        found.look()
        assert (status(found, "h1:bb"), [*found.problems]) == ("lost", ["credentials"])
    path.write_bytes(b"cred,status\nh1:bb,valid\n")
    found.look()
    assert (status(found, "h1:bb"), found.problems, found.rows("credentials")) == ("valid", {}, 1)


def test_a_table_that_never_was_makes_its_fields_unknown(tmp_path: Path) -> None:
    """A missing file does not make every card a strange one."""
    found = Tables({SOURCE: [STATUS]}, {"credentials": TableFile(path=tmp_path / "no.csv", key="cred", stale=HOUR)})
    found.look()
    assert (status(found, "h1:aa"), found.bad(0), found.age("credentials", 0)) == (None, 1, None)


def test_a_table_is_read_anew_only_when_it_changed(made) -> None:
    """An unchanged file is not read; its age counts from its last change, and too old is as good as bad."""
    path, found = made
    os.utime(path, (1_000, 1_000))
    found.look()
    asked = []
    found._load = lambda file: asked.append(file) or tables.read(file)  # type: ignore[func-returns-value]
    found.look()
    assert asked == []
    assert found.age("credentials", 1_060 * SECOND) == 60
    assert [found.bad(1_000 * SECOND + age) for age in (24 * HOUR, 24 * HOUR + 1)] == [0, 1]


def test_a_table_is_bounded() -> None:
    """One row more than allowed is a fault, and so is a column that is there twice."""
    most = b"cred\n" + b"".join(b"%d\n" % number for number in range(tables.MOST_ROWS))
    assert len(parse(most, "cred")) == tables.MOST_ROWS
    for bad in (most + b"x\n", b"cred,cred\n", b""):
        with pytest.raises(FormatError):
            parse(bad, "cred")

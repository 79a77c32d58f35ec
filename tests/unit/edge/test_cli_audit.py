"""`sk audit verify` without a gateway: the file is read instead, and compared with what an office was told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import client
from edge.cli.audit import audit
from edge.commands.audit import fold
from edge.doctor import facts
from edge.outbox import Outbox
from edge.outbox.reader import Reader
from sitekeeper.model.clock import ManualClock, Moment


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the outbox of a gateway that is off, where it usually lies: 30 rows, 10 of them folded."""
    path = tmp_path / "outbox.db"
    made = Outbox.open(path, site="hq", clock=ManualClock(), inline=True)
    made.append([], audit=[b"row %d" % n for n in range(1, 31)])
    made.fold_audit(10, lambda hash_: fold(Moment(wall=1, mono=1, trusted=True), 10, hash_, held=True))
    made.close()
    monkeypatch.setattr(facts, "USUAL_OUTBOX", str(path))
    monkeypatch.setenv("SITEKEEPER_SOCKET", str(tmp_path / "nobody.sock"))
    return path


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch, outbox: Path) -> dict[int, str]:
    """Give what an office was told of that audit, row by row, as its socket answers; no gateway is asked."""
    with Reader(outbox) as reader:
        epoch, told = reader.meta()["epoch"], {n: hash_.hex() for n, _, hash_ in reader.audit()}

    def ask(path: Path, op: str, args: dict[str, Any]) -> Iterator[dict[str, Any]]:
        assert (path.name, op, args) == ("office.sock", "audit.heads", {"site": "hq"})
        return ({"epoch": epoch, "n": n, "hash": hash_} for n, hash_ in told.items())

    monkeypatch.setattr(client, "ask", ask)
    return told


def verify(*more: str) -> Result:
    return CliRunner().invoke(audit, ["verify", "--json", *more])


def test_an_office_is_compared_with_while_the_gateway_is_off(heads: dict[int, str]) -> None:
    """All rows that are left, under all heads; a row that was rewritten is named by its number."""
    done = verify("--office", "/x/office.sock")
    data = json.loads(done.output)["data"]
    assert done.exit_code == 0
    assert (data["rows"], data["folded"], data["compared"], data["stands"]) == (31, 10, 21, True)
    heads[20] = "ab" * 32
    done = verify("--office", "/x/office.sock")
    assert done.exit_code == 1
    assert json.loads(done.output)["data"]["findings"] == [{"what": "changed", "first": 20, "last": 20}]


def test_a_gateway_that_is_named_is_asked_and_nobody_else(outbox: Path, tmp_path: Path) -> None:
    """The usual file stands in for none; and where there is no file either, that is what is said."""
    assert verify("--socket", str(tmp_path / "other.sock")).exit_code == 3
    outbox.unlink()
    assert verify().exit_code == 3


def test_somebody_listens_or_not(tmp_path: Path) -> None:
    """A socket that is not there, or that nobody serves any more, is nobody."""
    assert not client.running(tmp_path / "nothing.sock")
    (tmp_path / "file.sock").touch()
    assert not client.running(tmp_path / "file.sock")

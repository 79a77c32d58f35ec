"""Reading an outbox from the side: history of a point, the moves of an occurrence, sizes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox import Outbox
from edge.outbox.reader import HistoryRow, Reader
from edge.recorder import SealedBlock
from sitekeeper import catalogue
from sitekeeper.block import Block, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.errors import NotFound
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample
from tests.unit.edge.outbox.conftest import sealed

Open = Callable[..., Outbox]


def table(*points: str) -> bytes:
    rows = tuple(CataloguePoint(f"lift-a1/{name}", "lift-a1", "int") for name in points)
    return catalogue.encode(Catalogue(site="harbour", devices=(CatalogueDevice("lift-a1", "lift", "p"),), points=rows))


def block(outbox: Outbox, stream: str, hashed: str, t0: int, **records: object) -> SealedBlock:
    sequence = outbox.next_sequence(stream)
    body = Block(
        site="harbour", epoch=outbox.epoch, stream=stream, sequence=sequence, boot="b", catalogue=hashed,
        trusted=True, t0=t0, mono0=0, **records,
    )  # fmt: skip
    t1 = max([t0, *(t0 + s.at for s in body.samples)])
    return SealedBlock(stream=stream, sequence=sequence, payload=encode(body), count=1, t0=t0, t1=t1)


def move(occurrence: str, cause: Cause, target: AlarmState) -> Transition:
    return Transition(occurrence, occurrence.split("@")[0], "L01", AlarmState.NORMAL, target, cause, "P1", 1, 1, True)


def test_history_follows_a_point_through_catalogues_that_number_it_differently(open_outbox: Open, path: Path) -> None:
    """Handles mean something only with the catalogue that the block names."""
    outbox = open_outbox()
    for points, t0 in ((("floor",), 1_000), (("door", "floor"), 2_000)):
        payload = table(*points)
        outbox.put_catalogue(payload)
        samples = [Sample(handle, 10 + handle, t0 + handle, GOOD) for handle in range(len(points))]
        outbox.append([block(outbox, "samples", catalogue.catalogue_hash(payload), t0, samples=samples)])
    outbox.release(outbox.epoch, [("samples", 1, 1)])
    with Reader(path) as reader:
        rows = list(reader.history("lift-a1/floor", 0, 10_000))
        assert rows == [HistoryRow(1_010, 1_000, GOOD, None), HistoryRow(2_011, 2_001, GOOD, None)]
        assert list(reader.history("lift-a1/floor", 1_011, 2_010)) == []
        assert [row.at for row in reader.history("lift-a1/floor", 2_011, 2_011)] == [2_011]
        assert list(reader.history("lift-a1/none", 0, 10_000)) == []


def test_history_without_its_catalogue_says_so(open_outbox: Open, path: Path) -> None:
    """Numbers without a meaning are not shown as if they had one."""
    outbox = open_outbox()
    outbox.append([block(outbox, "samples", "lost", 5, samples=[Sample(0, 1, 1, GOOD)])])
    with Reader(path) as reader, pytest.raises(NotFound, match="catalogue lost"):
        list(reader.history("lift-a1/floor", 0, 10))


def test_the_moves_of_one_occurrence_come_in_order(open_outbox: Open, path: Path) -> None:
    """Other occurrences in the same blocks, and other epochs, stay out."""
    outbox = open_outbox()
    mine, other = (f"harbour/lift-a1/{rule}@{outbox.epoch}-{n}" for rule, n in (("L01", 1), ("L03", 1)))
    raised, raised_other = move(mine, Cause.RAISE, AlarmState.UNACKED), move(other, Cause.RAISE, AlarmState.UNACKED)
    acked = move(mine, Cause.ACK, AlarmState.ACKED)
    outbox.append([block(outbox, "alarms", "h", 1, transitions=[raised, raised_other])])
    outbox.append([block(outbox, "alarms", "h", 2, transitions=[acked])])
    with Reader(path) as reader:
        assert reader.transitions(mine) == [raised, acked]
        assert reader.transitions(other) == [raised_other]
        assert reader.transitions("harbour/lift-a1/L01@another-1") == []
        assert reader.transitions("no occurrence") == []


def test_depth_and_sizes_tell_what_is_there(open_outbox: Open, path: Path) -> None:
    """Released blocks count as blocks, not as unsent ones."""
    outbox = open_outbox()
    outbox.append([sealed("samples", n, bytes(100), t=n) for n in (1, 2, 3)])
    outbox.release(outbox.epoch, [("samples", 1, 2)])
    with Reader(path) as reader:
        depth = reader.depth()
        assert tuple(depth["samples"]) == (3, 3, 300, 1, 1)
        assert tuple(depth["alarms"]) == (0, 0, 0, 0, None)
        sizes = reader.sizes()
        assert sizes.in_use > 0
        assert sizes.log > 0
        assert reader.meta()["site"] == "harbour"


def test_a_file_that_no_gateway_has_open_can_be_read(open_outbox: Open, path: Path) -> None:
    """After a clean stop there is no log beside the file; the technician reads it all the same."""
    outbox = open_outbox()
    outbox.append([sealed("samples", 1)])
    outbox.close()
    with Reader(path) as reader:
        assert reader.depth()["samples"].unsent == 1
        assert reader.sizes().log == 0


def test_the_audit_can_be_read_in_pages(open_outbox: Open, path: Path) -> None:
    """More rows than one page come out in order, each with its hash."""
    outbox = open_outbox()
    outbox.append([], audit=[str(n).encode() for n in range(1_100)])
    with Reader(path) as reader:
        rows = list(reader.audit())
    assert [n for n, _, _ in rows] == list(range(1, 1_101))
    assert rows[-1][1] == b"1099"

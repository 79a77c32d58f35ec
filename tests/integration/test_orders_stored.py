"""Orders, the office's own audit and the heads of sites' audits: the same answers from both stores."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.store import orders
from cloud_sync.store.base import PutStatus, Transaction
from cloud_sync.store.orders import NO_WORD, OrderRow
from cloud_sync.store.postgres import PostgresStore
from cloud_sync.store.sqlite import SqliteStore
from cloud_sync.wire import Status
from office.audit_heads import judge
from tests.fixtures.postgres import Postgres

ROW = OrderRow(
    id="a" * 32, site="hq", target="lamp-1/command", value="50", lasts=10, who="ann", role="operator", reason="test",
    state="awaiting-confirmation", asked=1, changed=1, due=60,
)  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Any]:
    made = SqliteStore.open(tmp_path / "o.db") if request.param == "sqlite" else PostgresStore.open(postgres.create())
    yield made
    made.close()


async def do(store: Any, work: Any) -> Any:
    return await asyncio.wrap_future(store.do(work))


def fields(outcome: str, id_: str = ROW.id, reason: str = "") -> dict[str, Any]:
    return {"id": id_, "outcome": outcome, "reason": reason}


async def test_an_order_moves_as_its_states_allow_and_each_step_is_in_the_chain(store: Any) -> None:
    """Agreed once; the site's first outcome stays; a row of the audit for each step, and it shows what was touched."""
    await do(store, lambda sql: orders.put(sql, ROW, "ask"))
    for expected in ("bob", None):
        moved = await do(
            store, lambda sql: orders.move(sql, ROW.id, "awaiting-confirmation", "sent", at=2, due=62, by="bob")
        )
        assert (moved.second if moved else None) == expected
    told = [
        ("hq", fields("accepted")), ("other", fields("confirmed")), ("hq", fields("confirmed", "b" * 32)),
        ("hq", fields("released")), ("hq", {"id": 1}), ("hq", fields("confirmed")), ("hq", fields("timed_out")),
    ]  # fmt: skip
    for site, said in told:
        await do(store, lambda sql, site=site, said=said: orders.told(sql, site, said, 3))
    found = store.reader.order(ROW.id)
    assert (found.state, found.second, found.changed) == ("confirmed", "bob", 3)
    assert store.reader.office_audit() == (4, None)
    assert [row.id for row in store.reader.orders(5)] == [ROW.id]
    assert store.reader.orders(5, ["other"]) == store.reader.orders(5, []) == []
    await do(store, lambda sql: sql.execute("UPDATE office_audit SET record = '{}' WHERE n = 3") and None)
    assert store.reader.office_audit() == (4, 3)
    await do(store, lambda sql: sql.execute("DELETE FROM office_audit WHERE n = 2") and None)
    assert store.reader.office_audit() == (3, 2)


async def test_what_waits_too_long_is_ended_and_a_late_word_of_the_site_still_counts(store: Any) -> None:
    """Nobody agreed: expired, for good. Sent and no word: unconfirmed, until the site says what came of it."""
    for id_, state in (("a" * 32, "awaiting-confirmation"), ("b" * 32, "sent"), ("c" * 32, "sent")):
        row = OrderRow(**{name: getattr(ROW, name) for name in ROW.__struct_fields__} | {"id": id_, "state": state})
        await do(store, lambda sql, row=row: orders.put(sql, row, "ask"))
    assert await do(store, lambda sql: orders.overdue(sql, 59)) == 3
    assert await do(store, lambda sql: orders.overdue(sql, 60)) == 0
    for id_ in ("a" * 32, "b" * 32):
        await do(store, lambda sql, id_=id_: orders.told(sql, "hq", fields("refused", id_, "interlock"), 61))
    states = {row.id[0]: (row.state, row.why) for row in store.reader.orders(5)}
    assert states == {
        "a": ("expired", "nobody-agreed"), "b": ("refused", "interlock"), "c": ("unconfirmed", NO_WORD),
    }  # fmt: skip
    assert store.reader.office_audit() == (7, None)


async def test_heads_are_kept_and_judged(store: Any) -> None:
    """A head that changes is seen, and stays seen until the site has another epoch."""
    said = [(10, "1" * 64, "e1"), (12, "2" * 64, "e1"), (12, "3" * 64, "e1"), (13, "4" * 64, "e1"), (0, "5" * 64, "e2")]
    judged = []
    for at, (n, hash_, epoch) in enumerate(said, 1):
        status = Status(online=True, site="hq", epoch=epoch, boot="b", version="1", audit=(n, hash_), nonce=f"n{at}")
        entry = PutStatus(status=status, live=True)
        await asyncio.wrap_future(store.commit(Transaction(at=at, entries=(entry,))))
        word = store.reader.word("hq")
        judged.append((judge(word), word.nonce, word.heard))
    assert judged == [
        (("", 10), "n1", 1), (("", 12), "n2", 2), (("changed", 10), "n3", 3), (("changed", 10), "n4", 4),
        (("", 0), "n5", 5),
    ]  # fmt: skip
    assert len(store.reader.audit_heads("hq")) == 5
    assert [word.site for word in store.reader.words()] == ["hq"]

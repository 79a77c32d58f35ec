"""A barrier that the office opens, on the virtual site: two people, one signature, once; no broker is believed."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.commands import audit
from edge.outbox.reader import Reader
from office import trust
from office.commands import AGREE_WITHIN, Caller, Wanted
from sitekeeper import chain
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import NotFound, Refused
from sitekeeper.order import CONTEXT, SIGNATURE, VERSION, Order, seal
from tests import virtual, virtual_site
from tests.site_facts import outcomes, value, wrote
from tests.virtual_site import SITE, VirtualSite

ANN, BOB = Caller(name="ann", role="operator"), Caller(name="bob", role="admin")
TOPIC = f"sitekeeper/1/{SITE}/down/command"
PLAN = {
    "title": "a barrier",
    "seed": 3,
    "links": [
        {"id": "parking", "devices": [{"id": "lane-in", "unit": 1, "face": "sp-barrier-1", "lane": {"auto_close": 0}}]}
    ],
}


def wanted(**fields: Any) -> Wanted:
    return Wanted(**{"site": SITE, "target": "lane-in/cmd.open", "value": "true", "reason": "ambulance", **fields})


@asynccontextmanager
async def running(folder: Path, *, commands: bool = True) -> AsyncIterator[VirtualSite]:
    """Run the site as it is when its box has joined an office whose people may command it."""
    trust.command_key(folder / "trust")
    (folder / "site/trust").mkdir(parents=True)
    (folder / "site/trust/office-command.pub").write_bytes((folder / "trust/office-command.pub").read_bytes())
    sections = {"office": {"broker": "mqtt://in-memory", "commands": commands}}
    async with virtual_site.running(folder, PLAN, sections=sections) as site:
        await site.at(12)
        yield site


def state(site: VirtualSite, id_: str) -> tuple[str, str]:
    [row] = site.rows("SELECT state, why FROM orders WHERE id = ?", id_)
    return row["state"], row["why"]


def refused(site: VirtualSite) -> list[tuple[str, str]]:
    """Return (origin, reason) of the refusals in the site's audit."""
    with Reader(site.folder / "site/outbox.db") as reader:
        rows = list(reader.audit())
    assert chain.verify((record, hash_) for _, record, hash_ in rows) is None
    decoded = [audit.decode(record) for _, record, _ in rows]
    return [(row.origin, row.reason) for row in decoded if row.outcome == "refused"]


async def reason(asked: Any) -> str:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value.reason


async def listened(site: VirtualSite, orders: list[bytes]) -> None:
    """Be on the broker without any key, and keep every order that passes."""
    session = await site.broker.connector("attacker")()
    await session.subscribe(TOPIC)
    while True:
        orders.append((await session.receive()).payload)


def test_a_barrier_opens_only_after_a_second_person_and_a_broken_broker_opens_nothing(tmp_path: Path) -> None:
    """One write, confirmed by what the lane shows; copies, changed copies, retained and self-made orders do nothing."""

    async def main() -> VirtualSite:
        orders: list[bytes] = []
        async with running(tmp_path) as site:
            spy = asyncio.create_task(listened(site, orders), name="spy")
            commands = site.office.commands
            row = await commands.ask(ANN, wanted())
            assert row.state == "awaiting-confirmation"
            assert await reason(commands.confirm(ANN, row.id)) == "same-person"
            assert await reason(commands.confirm(dataclasses.replace(BOB, person=False), row.id)) == "not-a-person"
            assert await reason(commands.confirm(dataclasses.replace(BOB, role="viewer"), row.id)) == "permission"
            await site.at(20)
            assert (orders, value(site, "lane-in/lane.state")) == ([], "closed")
            assert (await commands.confirm(BOB, row.id)).state == "sent"
            await site.at(40)
            assert value(site, "lane-in/lane.state") == "open"
            assert state(site, row.id) == ("confirmed", "")
            assert await reason(commands.confirm(BOB, row.id)) == "not-waiting"
            [sealed] = orders
            spy.cancel()
            head = len(VERSION) + SIGNATURE
            for payload in (
                sealed,
                sealed[:head] + sealed[head:].replace(b"cmd.open", b"cmd.stop"),
                CONTEXT,
                b"\x01" * 99,
            ):
                site.broker.publish(TOPIC, payload)
            site.broker.publish(TOPIC, sealed, retain=True)
            await site.at(50)
            site.cut()
            await site.at(52)
            site.mend()  # on its return the site is handed what the broker kept
            await site.at(75)
        return site

    site = virtual.run(main())
    assert [told for _, told in wrote(site, "lane-in")] == [{"cmd.open": True}]
    assert outcomes(site, "lane-in/cmd.open") == ["accepted", "confirmed"]
    assert sorted(refused(site)) == sorted(
        ("office", why) for why in ("replayed", "replayed", "bad-signature", "malformed", "bad-signature", "retained")
    )
    told = [json.loads(row["record"]) for row in site.rows("SELECT record FROM office_audit ORDER BY n")]
    assert [(each["by"], each["outcome"], each["why"]) for each in told] == [
        ("ann", "awaiting-confirmation", ""), ("ann", "refused", "same-person"), ("bob", "refused", "not-a-person"),
        ("bob", "refused", "permission"), ("bob", "sent", ""), ("site", "accepted", ""), ("site", "confirmed", ""),
        ("bob", "refused", "not-waiting"),
    ]  # fmt: skip


def test_nothing_is_ordered_across_an_outage(tmp_path: Path) -> None:
    """A site that is away is refused at once, and gets nothing when it is back; nor where nobody agrees."""

    async def main() -> VirtualSite:
        async with running(tmp_path) as site:
            commands = site.office.commands
            waiting = await commands.ask(ANN, wanted())
            lonely = await commands.ask(ANN, wanted())
            await site.kill_gateway()
            await site.at(30)
            assert await reason(commands.ask(ANN, wanted())) == "site-unreachable"
            assert await reason(commands.confirm(BOB, waiting.id)) == "site-unreachable"
            await site.at(40)
            await site.start_gateway()
            await site.at(12 + AGREE_WITHIN / SECOND + 3)
            assert state(site, lonely.id) == ("expired", "nobody-agreed")
            assert await reason(commands.confirm(BOB, lonely.id)) == "not-waiting"
            with pytest.raises(NotFound):
                await commands.ask(ANN, wanted(target="lane-in/cmd.none"))
            with pytest.raises(NotFound):
                await commands.ask(ANN, wanted(site="none"))
            row = await commands.ask(ANN, wanted())
            await commands.confirm(BOB, row.id)
            await site.at(100)
            assert state(site, row.id) == ("confirmed", "")
        return site

    site = virtual.run(main())
    assert len(wrote(site, "lane-in")) == 1


def test_a_site_takes_no_commands_unless_it_says_so(tmp_path: Path) -> None:
    """Off is what a site is by itself: the office is refused, and an order all the same on the broker is not heard."""

    async def main() -> VirtualSite:
        async with running(tmp_path, commands=False) as site:
            assert await reason(site.office.commands.ask(ANN, wanted())) == "commands-off"
            signer = site.office._signer()
            assert signer is not None
            order = Order(SITE, "lane-in/cmd.open", "true", 1, "ann", "operator", "x", "bob", 0, 0, 0, "0" * 32, "n")
            site.broker.publish(TOPIC, seal(order, signer))
            await site.at(30)
        return site

    site = virtual.run(main())
    assert wrote(site, "lane-in") == []

"""The office's operations, away from any socket."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from office.notify.stages import OFFICE_EPOCH
from office.operations import Operations
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.command import Actor


@pytest.mark.parametrize("epoch", [f"{OFFICE_EPOCH}1", "e1"])
async def test_an_acknowledgement_begun_is_finished_though_the_caller_hangs_up(epoch: str) -> None:
    """Of the office's own alarm and of a site's: what it stores and sends is not left half done."""
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def acknowledge(*_: Any) -> Any:
        begun.set()
        await go_on.wait()
        finished.set()

    record = AlarmRecord("hq/a/L01", "L01", f"hq/a/L01@{epoch}-1", AlarmState.UNACKED, "P1", False, 1, 1)
    reader: Any = SimpleNamespace(alarm=lambda _: record, acks=lambda _: [], ask=lambda *_: [])
    operations = Operations(
        store=reader, reader=reader, clock=SystemClock(), ack_here=acknowledge, ack_sent=acknowledge
    )
    reply = operations.table()["alarm.ack"](Actor("may", "operator", "office"), {"id": record.occurrence})
    asking = asyncio.ensure_future(anext(reply))
    async with asyncio.timeout(5):
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        await finished.wait()

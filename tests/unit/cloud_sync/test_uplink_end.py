"""An uplink ends when it is told to, even in the moment in which its connection stands."""

import asyncio
from contextlib import suppress
from random import Random

from cloud_sync.memory import MemoryBroker
from cloud_sync.session import Session, Will
from cloud_sync.uplink import Uplink, UplinkSettings
from sitekeeper.model.clock import SystemClock
from tests.unit.cloud_sync.material import SITE, Source
from tests.unit.cloud_sync.test_back_off import NoDoor


async def test_an_end_that_a_library_forgets_is_an_end() -> None:
    """A cancellation that is lost because the connection came together with it still ends the uplink."""
    connect, asked = MemoryBroker().connector("gateway"), asyncio.Event()

    async def forgetful(will: Will | None = None) -> Session:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await connect(will)

    settings = UplinkSettings(site=SITE, boot="b1", version="0", catalogue="")
    uplink = Uplink(forgetful, Source(), NoDoor(), settings=settings, clock=SystemClock(), random=Random(1))
    task = asyncio.create_task(uplink.run())
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=5)
    if not done:
        task.cancel()
        await asyncio.wait((task,), timeout=5)
    assert done
    assert task.cancelled()

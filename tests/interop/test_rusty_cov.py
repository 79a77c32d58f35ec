"""A device of another make tells its changes to our driver: rusty-bacnet as the server of subscriptions."""

import asyncio
from typing import Any

from sitekeeper.model.clock import SystemClock
from sitekeeper.model.quality import GOOD
from tests.fixtures import bacnet
from tests.fixtures.bacnet_peers import OBJECTS, PROPERTIES, VALUE, put, rusty_device
from tests.integration.test_bacnet_cov import Rig, listened, until


async def test_a_foreign_luminaire_tells_its_level():
    """We subscribe, its first notification proves it, and a level set there is here without another reading."""
    points: dict[str, bacnet.Written] = {
        "level": ({"object": "lighting-output", "property": "present-value", "cov": True}, "float")
    }
    async with rusty_device() as (device, port):
        driver = bacnet.driver(bacnet.device("d", points, port=port, instance=1300), clock=SystemClock(), timeout="5s")
        rig: Any = Rig(None, driver)  # type: ignore[arg-type]
        async with listened(rig):
            await rig.read()
            await until(lambda: rig.cov()["alive"] == 1)
            assert rig.stand[0] == (0.0, GOOD)
            await put(device, OBJECTS.LIGHTING_OUTPUT, PROPERTIES.PRESENT_VALUE, VALUE.real(60.0))
            await until(lambda: rig.stand[0] == (60.0, GOOD))
            assert rig.told()
    await asyncio.sleep(0)

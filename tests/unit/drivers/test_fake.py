"""The fake driver beyond what the suite over all drivers asks: its kind and its record."""

import pytest

from drivers.base import DeviceRead, PointRead, ReadGroup
from drivers.testing import FakeDriver, FakeKind
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import LinkDown
from sitekeeper.model.quality import Reason, bad


async def test_kind_and_record():
    """The fake is made like any driver, has no value before one is set, and records each reading with its time."""
    kind, clock = FakeKind(), ManualClock()
    address = kind.bind(kind.point_model(fake="x"), point_type="int", members=(), parameters={})
    point = PointRead(handle=0, name="x", type="int", address=address)
    group = ReadGroup(id="d@1s", device="d", period=SECOND, points=(point,))
    device = DeviceRead(id="d", options=kind.device_model(), groups=(group,))
    driver = kind.create("link", kind.link_model(), [device], clock)
    assert isinstance(driver, FakeDriver)
    await driver.open()
    clock.advance(SECOND)
    assert (await driver.read("d@1s")).outcomes[0].q == bad(Reason.NOT_YET)
    driver.cut()
    with pytest.raises(LinkDown):
        await driver.read("d@1s")
    assert [(reading.at, reading.link_down) for reading in driver.log] == [(SECOND, False), (SECOND, True)]
    assert driver.opened == 1

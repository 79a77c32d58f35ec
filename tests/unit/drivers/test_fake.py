"""The fake driver beyond what the suite over all drivers asks: its kind and its record."""

import pytest

from drivers.base import DeviceRead, PointRead, ReadGroup, Services
from drivers.testing import FakeDriver, FakeKind, FakeTeller
from sitekeeper.model.clock import SECOND, ManualClock
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, LinkDown, NotFound
from sitekeeper.model.quality import Reason, bad


async def test_kind_and_record():
    """The fake is made like any driver, has no value before one is set, and records each reading with its time."""
    kind, clock = FakeKind(), ManualClock()
    address = kind.bind(kind.point_model(fake="x"), point_type="int", members=(), parameters={})
    point = PointRead(handle=0, name="x", type="int", address=address)
    group = ReadGroup(id="d@1s", device="d", period=SECOND, points=(point,))
    device = DeviceRead(id="d", options=kind.device_model(), groups=(group,))
    driver = kind.create("link", kind.link_model(), [device], clock, Services())
    assert isinstance(driver, FakeDriver)
    await driver.open()
    clock.advance(SECOND)
    assert (await driver.read("d@1s")).outcomes[0].q == bad(Reason.NOT_YET)
    driver.cut()
    with pytest.raises(LinkDown):
        await driver.read("d@1s")
    assert [(reading.at, reading.link_down) for reading in driver.log] == [(SECOND, False), (SECOND, True)]
    assert driver.opened == 1


def fake() -> FakeTeller:
    point = PointRead(handle=0, name="x", type="int", address=None)
    group = ReadGroup(id="d@1s", device="d", period=SECOND, points=(point,))
    return FakeTeller([DeviceRead(id="d", options=FakeKind().device_model(), groups=(group,))], ManualClock())


async def test_what_is_written_is_read():
    """A write is on record and changes the point, unless the point was told to disobey, refuse or keep silent."""
    driver = fake()
    with pytest.raises(LinkDown):
        await driver.write("d", "x", 1, 16)
    await driver.open()
    await driver.write("d", "x", 1, 8)
    assert (await driver.read("d@1s")).outcomes[0].value == 1
    driver.disobey("d/x")
    await driver.write("d", "x", 2, 8)
    assert not (await driver.read("d@1s")).outcomes
    assert [(each.point_id, each.value, each.priority) for each in driver.writes] == [("d/x", 1, 8), ("d/x", 2, 8)]
    driver.deny("d/x")
    with pytest.raises(DeviceRefused):
        await driver.write("d", "x", 3, 8)
    driver.silence("d")
    with pytest.raises(DeviceSilent):
        await driver.write("d", "x", 3, 8)
    with pytest.raises(NotFound):
        await driver.write("d", "y", 3, 8)
    assert len(driver.writes) == 2

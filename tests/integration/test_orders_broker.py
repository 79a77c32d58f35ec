"""What a real broker does with orders: hands them on at once or to nobody, and says when it had kept one."""

import asyncio
from pathlib import Path

from cloud_sync.mqtt import BrokerSettings, connector
from cloud_sync.uplink import Uplink, UplinkSettings
from cloud_sync.wire import decode_status, down_topic, up_topic
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import MS, SystemClock
from tests.fixtures.mosquitto import Mosquitto
from tests.integration.test_sync_brokers import Door
from tests.unit.cloud_sync.material import SITE, Source, catalogue

NOBODY = 16
TOPIC = down_topic(SITE, "command")


class Desk:
    """Takes orders and writes down how they came."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, bool]] = []
        self.said = 0

    def nonce(self) -> str:
        self.said += 1
        return f"nonce-{self.said}"

    def take(self, payload: bytes, *, retained: bool) -> None:
        self.taken.append((payload, retained))

    async def has(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.taken) < count:
                await asyncio.sleep(0.01)


class Audit:
    """An audit of three rows, of which the office has everything."""

    def head(self) -> tuple[int, str]:
        return 3, "a" * 64

    def links(self) -> None:
        return None

    def held(self, epoch: str, n: int, hash_: str) -> None:
        raise AssertionError("no link was told")


def site(broker: BrokerSettings, desk: Desk) -> Uplink:
    source = Source()
    settings = UplinkSettings(
        site=SITE, boot="b1", version="0", catalogue=catalogue_hash(catalogue()), backoff_first=50 * MS
    )
    return Uplink(
        connector(broker, f"{SITE}-uplink"), source, Door(), settings=settings, clock=SystemClock(), orders=desk,
        audit=Audit(),
    )  # fmt: skip


async def test_an_order_is_handed_on_at_once_or_not_at_all(tmp_path: Path) -> None:
    """To a site that listens; while it is away to nobody, and not afterwards; a kept one comes marked as such."""
    with Mosquitto(tmp_path, persistence=False) as mosquitto:
        settings = BrokerSettings(host="127.0.0.1", port=mosquitto.port, protocol="5")
        office, desk = await connector(settings, "office")(), Desk()
        try:
            assert await office.publish(TOPIC, b"early") == NOBODY
            running = asyncio.create_task(site(settings, desk).run(), name="site")
            while await office.publish(TOPIC, b"now") == NOBODY:
                await asyncio.sleep(0.02)
            await desk.has(1)
            await office.subscribe(up_topic(SITE, "status"))
            status = decode_status((await office.receive()).payload)
            assert (status.nonce, status.audit) == (f"nonce-{desk.said}", (3, "a" * 64))
            running.cancel()
            await asyncio.wait({running})
            async with asyncio.timeout(5):  # the broker may hear us before it hears that the site has gone
                while await office.publish(TOPIC, b"while it was away") != NOBODY:
                    await asyncio.sleep(0.02)
            await office.publish(TOPIC, b"kept", retain=True)
            running = asyncio.create_task(site(settings, desk).run(), name="site")
            await desk.has(2)
            await office.publish(TOPIC, b"last")
            await desk.has(3)
            running.cancel()
            await asyncio.wait({running})
        finally:
            await office.close()
        assert desk.taken == [(b"now", False), (b"kept", True), (b"last", False)]

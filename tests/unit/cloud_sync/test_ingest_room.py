"""What an office takes in while its store is slow, from a broker that sends more than it was asked for."""

import asyncio
from concurrent.futures import Future

from cloud_sync.ingest import MOST_WAITING, Ingest
from cloud_sync.session import Allows, Delivery, Session, Will
from cloud_sync.store.base import Known, Outcome, Shape, Transaction
from cloud_sync.wire import up_topic
from sitekeeper.catalogue import catalogue_hash
from sitekeeper.model.clock import SystemClock
from tests.unit.cloud_sync.material import SITE, Listener, catalogue, payload


class Flood:
    """A session on which samples come without end, whatever is acknowledged; `sent` counts them."""

    allows, farewell, protocol, sent = Allows(), 0, "5", 0

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        return 0

    async def subscribe(self, topic: str, *, queued: bool = True) -> None:
        return

    async def receive(self) -> Delivery:
        await asyncio.sleep(0)
        self.sent += 1
        content = payload("samples", self.sent)
        return Delivery(topic=up_topic(SITE, "samples"), payload=content, retained=False, mid=self.sent, qos=1)

    def ack(self, delivery: Delivery) -> None:
        raise AssertionError("nothing was committed")

    async def close(self) -> None:
        return


class Stuck:
    """A store of which no commit ends."""

    shared = False

    def known(self) -> Known:
        return Known(catalogues={catalogue_hash(catalogue()): Shape(SITE, 2, 1)})

    def commit(self, transaction: Transaction) -> "Future[Outcome]":
        return Future()


async def test_what_comes_beyond_the_receive_maximum_is_not_decoded_yet():
    """The office holds so many decoded blocks and not one more; the rest stays with the session, as bytes."""
    flood = Flood()

    async def connect(will: Will | None = None) -> Session:
        return flood

    async def nothing(will: Will | None = None) -> Session:
        await asyncio.Event().wait()
        raise AssertionError("never")

    lanes = {"bulk": connect, "urgent": nothing}
    ingest = Ingest(lanes, Stuck(), Listener(), clock=SystemClock())  # type: ignore[arg-type]
    running = asyncio.create_task(ingest.run())
    for _ in range(20 * MOST_WAITING):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    one_transaction, in_hand = 64, 1
    assert MOST_WAITING <= flood.sent <= MOST_WAITING + one_transaction + in_hand

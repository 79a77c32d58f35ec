"""Orders of the office, on their way and at the site's door: the real `edge.commands.orders`, with a stand-in key.

An order may be held back and repeated by whoever sits in between (fault `order_held`); the oracle knows when each was
signed, and sees each that is carried out.
"""

from hashlib import blake2b

from edge.commands.orders import Orders
from sitekeeper.model.clock import SECOND, Micros, Moment
from sitekeeper.order import Order, seal
from tests.simulation.material import DEVICE
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler

TARGET = f"{DEVICE}/p0000"
LASTS: Micros = 10 * SECOND


def desk(site: str, scheduler: Scheduler, oracle: Oracle) -> Orders:
    """Return the door of a new process: it has said no word yet, and remembers no order."""

    def told(event: str, fields: dict[str, object], **_: object) -> None:
        scheduler.seen(f"order refused: {fields['reason']}")

    return Orders(
        site,
        lambda signature, signed: signature == _sign(signed),
        lambda actor, asked: oracle.carried_out(site, asked.key),
        None,  # type: ignore[arg-type] - no order here is about an alarm
        told,  # type: ignore[arg-type]
        lambda: Moment(scheduler.now, scheduler.now),
        points={TARGET},
        by_two=(),
        used=(),
    )


def order(site: str, number: int, nonce: str, after: Micros, now: Micros) -> tuple[str, bytes]:
    """Return the id and the bytes of an order that quotes a word of the site."""
    made = Order(
        site=site,
        target=TARGET,
        value=str(number),
        lasts=LASTS,
        who="operator",
        role="operator",
        reason="simulation",
        second="",
        issued=now,
        expires=now + LASTS,
        after=after,
        id=f"{number:032x}",
        nonce=nonce,
    )
    return made.id, seal(made, _sign)


def _sign(signed: bytes) -> bytes:
    return blake2b(signed, key=b"office", digest_size=64).digest()

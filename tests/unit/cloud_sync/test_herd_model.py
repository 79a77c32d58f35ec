"""A herd in virtual time: many sites with a backlog and an office that can commit so many blocks a second."""

import os
from dataclasses import dataclass, field
from random import Random
from typing import Final

from cloud_sync.dealer import Dealer
from cloud_sync.ingest_records import Arrival
from cloud_sync.session import Delivery
from cloud_sync.uplink_machine import Send, UplinkLimits, UplinkMachine
from cloud_sync.wire import Committed, Receipt, up_topic
from sitekeeper.model.clock import MS, SECOND, Micros

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
SITES, BLOCKS, RATE = (500, 120, 60) if FULL else (100, 10, 10)
"""How many sites, blocks of each, and blocks that the office commits in a second: a round takes about ten seconds."""
STEP: Final[Micros] = 100 * MS
STARVED: Final[Micros] = 60 * SECOND


@dataclass(slots=True)
class Site:
    machine: UplinkMachine
    back_at: Micros
    left: set[int]
    served_at: Micros = 0
    longest: Micros = 0
    sent: int = 0


@dataclass(slots=True)
class Herd:
    """`run` drains it. The broker answers at once; what the dealer gives back is forgotten."""

    random: Random = field(default_factory=lambda: Random(1))
    dealer: Dealer = field(default_factory=Dealer)
    now: Micros = 0
    most_waiting: int = 0
    sites: dict[str, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(SITES):
            machine = UplinkMachine("e1", UplinkLimits(), Random(number))
            back_at = int(self.random.uniform(0, 1.5) * SECOND)
            self.sites[f"site-{number}"] = Site(machine, back_at, set(range(1, BLOCKS + 1)), served_at=back_at)

    def run(self) -> None:
        budget = 0.0
        while any(site.left for site in self.sites.values()):
            self.now += STEP
            for name, site in self.sites.items():
                self._pump(name, site)
            self.most_waiting = max(self.most_waiting, len(self.dealer))
            budget = min(budget + RATE * STEP / SECOND, RATE)
            while budget >= 1 and (arrival := self.dealer.deal()) is not None:
                budget -= 1
                self._commit(arrival)

    def _pump(self, name: str, site: Site) -> None:
        if self.now < site.back_at or not site.left:
            return
        if not site.machine.connected:
            site.machine.connect(self.now)
        site.machine.offer("samples", min(site.left), BLOCKS)
        while outputs := site.machine.advance(self.now):
            for output in outputs:
                if not isinstance(output, Send):
                    site.machine.disconnect(self.now, silent=True)
                    return
                if output.sequence not in site.left:
                    site.machine.absent(output.stream, output.sequence)
                    continue
                site.sent += 1
                site.machine.spent(output.stream, output.sequence, 3_000, 500)
                site.machine.published(output.stream, output.sequence, 0, self.now)
                payload = f"{name} {output.sequence}".encode()
                topic = up_topic(name, "samples")
                delivery = Delivery(topic=topic, payload=payload, retained=False, mid=0, qos=1)
                self.dealer.put(name, Arrival("bulk", 1, delivery))

    def _commit(self, arrival: Arrival) -> None:
        name, _, number = arrival.delivery.payload.decode().partition(" ")
        site = self.sites[name]
        if int(number) in site.left:
            site.longest = max(site.longest, self.now - site.served_at)
            site.served_at = self.now
            site.left.discard(int(number))
        site.machine.receipt(Receipt(0, [Committed("e1", "samples", [(int(number), int(number))])]), self.now)


def test_a_herd_is_served_in_turns_and_sends_each_block_about_once() -> None:
    """No site waits for a minute, little waits at the office, and what it has is not sent again."""
    herd = Herd()
    herd.run()
    longest = max(site.longest for site in herd.sites.values())
    sends = sum(site.sent for site in herd.sites.values()) / (SITES * BLOCKS)
    ideal = SITES * BLOCKS / RATE
    print({"longest_s": longest / SECOND, "sends": sends, "waiting": herd.most_waiting, "drained_s": herd.now / SECOND})
    assert longest <= STARVED / 2
    assert sends <= 1.2  # those that waited longest for the first receipt of all asked once more
    assert herd.most_waiting <= 4 * SITES
    assert herd.now / SECOND <= 1.3 * ideal, "the office had nothing to do although sites had something to send"

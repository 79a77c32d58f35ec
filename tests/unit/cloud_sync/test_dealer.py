"""Whose message is next at the office: one of each site at a time, however much others send."""

from collections import Counter
from random import Random

import pytest

from cloud_sync.dealer import Dealer
from cloud_sync.ingest_records import Arrival
from cloud_sync.session import Delivery


def message(site: str, number: int, *, size: int = 10, connection: int = 1) -> Arrival:
    payload = f"{site}-{number}".encode().ljust(size, b".")
    delivery = Delivery(topic=f"{site}/samples", payload=payload, retained=False, mid=number, qos=1)
    return Arrival("bulk", connection, delivery)


def sender(arrival: Arrival) -> str:
    return arrival.delivery.topic.partition("/")[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_wait_is_one_round_whatever_others_send(seed: int) -> None:
    """From when a site has something waiting until it is served nobody else is served twice, though some flood."""
    random, dealer = Random(seed), Dealer(site_count=8, count=200)
    others_since: dict[str, Counter[str]] = {}
    waiting: Counter[str] = Counter()
    rounds = Counter[str]()
    for number in range(5_000):
        flooding = random.random() < 0.8
        site = f"flood{random.randrange(5)}" if flooding else f"quiet{random.randrange(30)}"
        forgotten = dealer.put(site, message(site, number))
        waiting[site] += 1
        for one in forgotten:
            waiting[sender(one)] -= 1
        others_since.setdefault(site, Counter())
        if random.random() < 0.5 and (dealt := dealer.deal()) is not None:
            served = sender(dealt)
            waiting[served] -= 1
            others_since[served] = Counter()
            for other, count in waiting.items():
                if count and other != served:
                    others_since[other][served] += 1
                    assert others_since[other][served] <= 1, f"{other} waits while {served} is served again"
                    rounds[other] += 1
        for other, count in waiting.items():
            if not count:
                others_since[other] = Counter()
    assert max(rounds.values()) > 100, "proved nothing: nobody waited"


def test_a_site_is_served_in_its_order() -> None:
    """What one site sent first is dealt first."""
    dealer = Dealer()
    for number in (3, 1, 2):
        assert dealer.put("a", message("a", number)) == []
    assert [dealt.delivery.mid for dealt in iter(dealer.deal, None)] == [3, 1, 2]
    assert (len(dealer), dealer.size) == (0, 0)


def test_what_one_site_has_waiting_is_bounded_in_messages_and_in_bytes() -> None:
    """The one too many is given back, to be acknowledged and forgotten; what waited before stays."""
    dealer = Dealer(site_count=2, site_bytes=100)
    assert dealer.put("a", message("a", 1, size=60)) == []
    too_large, third = message("a", 2, size=60), message("a", 4)
    assert dealer.put("a", too_large) == [too_large]
    assert dealer.put("a", message("a", 3)) == []
    assert dealer.put("a", third) == [third]
    assert dealer.counts["overflowed"] == 2
    assert [dealt.delivery.mid for dealt in iter(dealer.deal, None)] == [1, 3]


@pytest.mark.parametrize("bounds", [{"count": 10}, {"bytes": 100}])
def test_who_has_little_always_finds_room(bounds: dict[str, int]) -> None:
    """Where all room is taken, the site with the most loses its newest; the bound in all holds at every step."""
    dealer = Dealer(**bounds)  # type: ignore[arg-type]
    for number in range(50):
        dealer.put("flood", message("flood", number))
        assert len(dealer) <= 10
        assert dealer.size <= 100
    newest = message("flood", 9)
    assert dealer.put("quiet", message("quiet", 1)) == [newest]
    assert (len(dealer), dealer.size) == (10, 100)
    assert {sender(dealer.deal()), sender(dealer.deal())} == {"flood", "quiet"}  # type: ignore[arg-type]


def test_a_repeat_of_what_waits_takes_its_place() -> None:
    """It is dealt once, in its old turn, and acknowledged on the connection that stands; the earlier copy at once."""
    dealer = Dealer()
    first, again = message("a", 1, connection=1), message("a", 1, connection=2)
    dealer.put("a", first)
    dealer.put("a", message("a", 2))
    assert dealer.put("a", again) == [first]
    assert dealer.counts["waiting"] == 1
    dealt = dealer.deal()
    assert dealt is again
    assert len(dealer) == 1

"""Folding an hour of samples, against a reference that looks at every second."""

from collections.abc import Sequence
from random import Random

import pytest

from cloud_sync.store.coverage import merge
from cloud_sync.store.fold import Bucket, Carry, Change, fold
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from sitekeeper.model.quality import Reason, bad

H = 1_767_225_600 * SECOND
BAD = bad(Reason.COMM)


def at(seconds: float) -> int:
    return H + round(seconds * SECOND)


def stands(second: int, told: Sequence[Change], known: Sequence[tuple[int, int]]) -> object:
    """Return the value that is known at the beginning of a second, by looking back second for second."""
    moment = at(second)
    before = [one for one in told if one[0] <= moment]
    if not before or before[-1][1] is None or before[-1][2] >= 64:
        return None
    for each in range(before[-1][0], moment + SECOND, SECOND):
        if not any(start <= each < until for start, until in known):
            return None
    return before[-1][1]


def figures(bucket: Bucket) -> tuple[object, ...]:
    return (bucket.at, bucket.changes, bucket.low, bucket.high, bucket.last, bucket.word, bucket.good)


def reference(begin: int, length: int, told: Sequence[Change], known: Sequence[tuple[int, int]]) -> tuple:
    """Return the figures of a stretch of seconds, and the mean."""
    seconds = [stands(second, told, known) for second in range(begin, begin + length)]
    stood = [value for value in seconds if value is not None]
    came = [one for one in told if at(begin) <= one[0] < at(begin + length)]
    fine = [value for _, value, q in came if value is not None and q < 64]
    numbers = [value for value in [*stood, *fine] if not isinstance(value, str)]
    last = fine[-1] if fine else None
    weighed = [value for value in stood if not isinstance(value, str)]
    return (
        (
            at(begin), len(fine), min(numbers, default=None), max(numbers, default=None),
            None if isinstance(last, str) else last, last if isinstance(last, str) else None, len(stood) * SECOND,
        ),
        sum(weighed) / len(weighed) if weighed else None,
    )  # fmt: skip


def material(random: Random) -> tuple[list[Change], list[tuple[int, int]]]:
    """Return samples of half an hour before and of an hour, and what is vouched for: in whole seconds."""
    words = random.random() < 0.2
    told: list[Change] = []
    for second in sorted(random.sample(range(-1800, 3600), random.choice((1, 3, 20, 200)))):
        value = random.choice(("open", "closed", None)) if words else random.choice((None, True, 5, -2.5, 1000))
        told.append((at(second), value, 0 if value is not None and random.random() < 0.9 else BAD))
    cuts = sorted(random.sample(range(-1800, 3600), 2 * random.choice((1, 2, 6))))
    return told, merge((at(a), at(b)) for a, b in zip(cuts[::2], cuts[1::2], strict=True))


@pytest.mark.parametrize("seed", range(16))
def test_folding_agrees_with_looking_at_every_second(seed):
    """Counts, extremes, the last value, known time and mean of an hour and of its minutes, with and without holes."""
    told, known = material(Random(seed))
    inside = [one for one in told if one[0] >= H]
    before = [one for one in told if one[0] < H and one[1] is not None]
    earlier = [one for one in told if one[0] < H]
    carry = Carry(before[-1][0], before[-1][1]) if before and before[-1] == earlier[-1] and before[-1][2] < 64 else None
    if not inside:
        return
    minutes, hour = fold(H, carry, inside, [one for one in known if one[1] > H])
    expected, mean = reference(0, 3600, told, known)
    assert figures(hour) == expected
    assert hour.mean == (mean if mean is None else pytest.approx(mean))
    assert [one.at for one in minutes] == sorted({one[0] - one[0] % MINUTE for one in inside})
    for minute in minutes:
        expected, mean = reference((minute.at - H) // SECOND, 60, told, known)
        assert figures(minute) == expected
        assert minute.mean == (mean if mean is None else pytest.approx(mean))


def test_the_mean_is_of_time_and_not_of_samples():
    """A value that stood for 59 minutes outweighs sixty that stood for a second each."""
    quick = [(at(3540 + n), 100, 0) for n in range(60)]
    _, hour = fold(H, None, [(at(0), 0, 0), *quick], [(H, H + HOUR)])
    assert hour.mean == pytest.approx(100 / 60)
    assert hour.good == HOUR


def test_what_stood_before_is_carried_in_only_if_nothing_broke_it():
    """A hole between a value and the hour ends the value; a record without a break does not."""
    later = [(at(1800), 7, 0)]
    unbroken, broken = [(at(-900), H + HOUR)], [(at(-900), at(-300)), (at(-200), H + HOUR)]
    assert fold(H, Carry(at(-600), 3), later, unbroken)[1].mean == 5
    assert fold(H, Carry(at(-600), 3), later, broken[1:])[1].good == HOUR // 2
    assert fold(H, Carry(at(-600), 3), later, broken[1:])[1].low == 7


def test_a_bad_sample_leaves_nothing_to_carry():
    """The last good value is told, and does not stand."""
    _, hour = fold(H, None, [(at(1), 4, 0), (at(2), None, BAD)], [(H, H + HOUR)])
    assert (hour.last, hour.good, hour.carry()) == (4, SECOND, None)
    assert fold(H, None, [(at(1), "open", 0)], [])[1].carry() == Carry(at(1), "open")

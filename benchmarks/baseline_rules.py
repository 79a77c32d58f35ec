"""Baseline of the rules: every rule a Python function over a dictionary, all of them called after every change."""

from collections.abc import Callable, Sequence

Change = tuple[str, str, int, object]
"""Device, point, monotonic microseconds, value."""

Rule = Callable[[dict[str, object]], bool]


def rules() -> list[Rule]:
    """Return the same three conditions as the benchmark's pack, by hand."""
    return [
        lambda v: float(v["speed"]) < 0.1 and not v["level"] and bool(v["closed"]),  # type: ignore[arg-type]
        lambda v: float(v["speed"]) > 1.8 and bool(v["closed"]) and not v["level"],  # type: ignore[arg-type]
        lambda v: (not v["closed"] and not v["level"]) or float(v["speed"]) > 3,  # type: ignore[arg-type]
    ]


DELAYS = (30_000_000, 0, 2_000_000)


def run(devices: Sequence[str], changes: Sequence[Change]) -> int:
    """Apply the changes one by one; return how many alarms were raised."""
    values: dict[str, dict[str, object]] = {d: {"speed": 0.0, "level": True, "closed": True} for d in devices}
    since: dict[tuple[str, int], int] = {}
    raised: set[tuple[str, int]] = set()
    count = 0
    for device, point, at, value in changes:
        values[device][point] = value
        for other in devices:
            state = values[other]
            for number, rule in enumerate(rules_once):
                key = (other, number)
                if not rule(state):
                    since.pop(key, None)
                    raised.discard(key)
                elif at - since.setdefault(key, at) >= DELAYS[number] and key not in raised:
                    raised.add(key)
                    count += 1
    return count


rules_once = rules()

"""Looks through seeds, and shrinks the plan of one that fails to the faults that it takes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import process_time

from tests.simulation.faults import MOMENT, Fault
from tests.simulation.scheduler import Failed
from tests.simulation.world import Result, run

Run = Callable[..., Result]


@dataclass(slots=True)
class Found:
    """What a search has seen; `took_s` is this process's own time, so that a busy machine makes no search shorter."""

    seeds: int = 0
    simulated_h: float = 0.0
    took_s: float = 0.0
    failed: list[Result] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)


def search(seeds: Iterable[int], *, within_s: float = float("inf"), most_failed: int = 10) -> Found:
    """Run seeds until they are all through, the processor time is over, or enough have failed."""
    found, began = Found(), process_time()
    for seed in seeds:
        result = run(seed)
        found.seeds += 1
        found.simulated_h += result.simulated / 3.6e9
        found.sometimes += result.sometimes
        found.took_s = process_time() - began
        if result.why:
            found.failed.append(result)
        if found.took_s > within_s or len(found.failed) >= most_failed:
            break
    return found


def shrink(failed: Result, run: Run = run) -> Result:
    """Leave out faults and shorten them as long as the same promise is broken; return the smallest failing run."""
    best, again = failed, True
    while again:
        again = False
        for index in reversed(range(len(best.faults))):
            smaller = _still(failed, [*best.faults[:index], *best.faults[index + 1 :]], run)
            best, again = (smaller, True) if smaller is not None else (best, again)
    for index, fault in enumerate(best.faults):
        while fault.lasts > 2 * MOMENT:
            fault = replace(fault, lasts=fault.lasts // 2)
            shorter = _still(failed, [*best.faults[:index], fault, *best.faults[index + 1 :]], run)
            if shorter is None:
                break
            best = shorter
    return best


def _still(failed: Result, faults: list[Fault], run: Run) -> Result | None:
    result = run(failed.seed, faults)
    return result if promise(result.why) == promise(failed.why) else None


def promise(why: str) -> str:
    """Return the name of the promise that was broken."""
    return why.partition(":")[0]


def told(result: Result) -> str:
    """Return what there is to say about a failed run."""
    lines = [*result.last, f"seed {result.seed}: {result.why}", "faults:"]
    for fault in result.faults:
        end = fault.at + fault.lasts
        lines.append(f"  {fault.at / 1e6:9.3f} s to {end / 1e6:9.3f} s site{fault.site} {fault.kind} ({fault.size})")
    return "\n".join(lines)


def check(seed: int) -> Result:
    """Run a seed and raise Failed, with the shrunk plan and the last events, if it breaks a promise."""
    result = run(seed)
    if result.why:
        raise Failed(told(shrink(result)))
    return result

"""The operators that look back over numbers and orders of events, worked out from the whole history.

Mixed into `tests/reference_evaluator.Reference`; nothing is remembered from one moment to the next.
"""

from fractions import Fraction
from math import floor
from statistics import median
from typing import Any

MS, SECOND = 1_000, 1_000_000


class Windows:
    """`value(tree, i)`, `times`, `late` and `history` are the reference's."""

    times: list[int]
    late: list[bool]
    history: list[Any]
    value: Any

    def _shown(self, tree: Any, i: int) -> list[int]:
        """Return how much time had passed with x known, at every moment up to i."""
        shown, total = [], 0
        for j in range(i + 1):
            if j and self.value(tree, j - 1) is not None:
                total += self.times[j] - self.times[j - 1]
            shown.append(total)
        return shown

    def _worked_out(self, tree: Any, span: int, i: int) -> int | None:
        """Return the moment of which the result stands at i; None if the window is not full or x is unknown."""
        shown = self._shown(tree, i)
        if self.value(tree, i) is None or shown[i] < span:
            return None
        step = max(MS, span // 60)
        for j in range(i, -1, -1):
            x = self.value(tree, j)
            if x is None:
                continue
            changed = j == 0 or self.value(tree, j - 1) != x
            if changed or shown[j] % step == 0 or shown[j] == span:
                return j
        raise AssertionError(tree)

    def _mean(self, of: dict[str, Any], i: int) -> Any:
        span = self.value(of["d"], i)
        at = self._worked_out(of["x"], span, i)
        if at is None:
            return None
        shown = self._shown(of["x"], at)
        total, begin = Fraction(0), shown[at] - span
        for j in range(at):
            if self.value(of["x"], j) is not None:
                length = max(0, shown[j + 1] - max(shown[j], begin))
                total += Fraction(self.value(of["x"], j)) * length
        return float(total / span)

    def _rate(self, of: dict[str, Any], i: int) -> Any:
        span = self.value(of["d"], i)
        at = self._worked_out(of["x"], span, i)
        if at is None:
            return None
        shown = self._shown(of["x"], at)
        then = max(j for j in range(at + 1) if shown[j] <= shown[at] - span and self.value(of["x"], j) is not None)
        return (self.value(of["x"], at) - self.value(of["x"], then)) / (span / SECOND)

    def _median(self, tree: Any, i: int) -> Any:
        event, field, count = tree.arguments
        heard = [
            self.history[j].event.fields.get(field.name) for j in range(i + 1) if self.value(event, j) in (True, "late")
        ]
        last = [x for x in heard if x is not None][-count.value :]
        return median(last) if len(last) == count.value else None

    def _sequence(self, of: dict[str, Any], i: int) -> Any:
        """Go through all moments once more: which event is awaited, and how long it has been since the first."""
        events = [of[name] for name in sorted(of) if name[0] == "e"]
        span = self.value(of["within"], i)
        come, since, last, value = 0, 0, -1, None
        for j in range(i + 1):
            told = [self.value(event, j) for event in events]
            reset = self.value(of["reset"], j) if "reset" in of else False
            if come and j and self._counts_time(events, of, j - 1):
                since += self.times[j] - self.times[j - 1]
            if reset or since >= span:
                come = 0
            done = False
            if reset is False and come and told[come] is True and self.times[j] > last:
                come, last = come + 1, self.times[j]
                done = come == len(events)
                come = 0 if done else come
            elif reset is False and told[0] is True:
                come, since, last = 1, 0, self.times[j]
            unknown = reset is None or (come == len(events) - 1 and told[-1] is None)
            value = None if unknown else done
        return value

    def _counts_time(self, events: list[Any], of: dict[str, Any], j: int) -> bool:
        """Tell whether nothing was unknown from moment j on; the truth of an event ends with its moment."""
        known = [self.value(event, j) is not None for event in events]
        return all(known) and ("reset" not in of or self.value(of["reset"], j) is not None)

    def _baseline(self, of: dict[str, Any], i: int) -> Any:
        """Go through all moments once more: the stretches in one bin, and what is observed at the end of each."""
        step, settle, least = (self.value(of[name], i) for name in ("step", "settle", "least"))
        seen: dict[int, tuple[int, float]] = {}
        place, elapsed, running = None, 0, False
        for j in range(i + 1):
            x, y, learn = (self.value(of[name], j) for name in ("x", "by", "learn"))
            elapsed += self.times[j] - self.times[j - 1] if j and running else 0
            here = None if y is None else floor(y / step)
            if learn is False or (here is not None and here != place):
                elapsed = 0
                place = place if here is None else here
            running = learn is True and here is not None and x is not None
            if running and elapsed >= settle:
                elapsed = 0
                count, mean = seen.get(here, (0, 0.0))
                if count < least or abs(x - mean) <= 0.2 * abs(mean):
                    count += 1
                    seen[here] = (count, mean + (x - mean) / count)
        y = self.value(of["by"], i)
        count, mean = (0, 0.0) if y is None else seen.get(floor(y / step), (0, 0.0))
        return mean if count >= least else None

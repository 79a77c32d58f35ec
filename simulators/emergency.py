"""An emergency luminaire with a battery: tests, charge, mains, on a clock that is moved from outside. No I/O.

What its parts are called and when their bits are set is that of IEC 62386-202.
"""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import HOUR, MINUTE, Micros

RATED: Final = 180
"""Minutes for which it must give its light."""
LASTS: Final = 200
"""Minutes for which a battery in good order does."""
WEAK: Final = 120
"""Minutes for which one near its end does."""
FUNCTION: Final[Micros] = 2 * MINUTE
CHARGE: Final[Micros] = 16 * HOUR
"""From empty to full."""
WORN: Final = 60.0
"""Per cent that a worn battery is charged to."""

Test = Literal["function", "duration"]
Condition = Literal["good", "lamp", "circuit", "weak", "worn", "endless"]
"""`weak` lasts too short, `worn` is not charged beyond `WORN` again, and of `endless` no test ends by itself."""


class Emergency(Behaviour):
    """The luminaire. Read its properties after `advance`."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.condition: Condition = "good"
        self.mains = True
        self.testing: Test | None = None
        self.done: set[Test] = set()
        self.failed: set[Test] = set()
        self.short = False
        """The battery gave its light for less than its rated time in the last duration test."""
        self.minutes = 0
        """What the last duration test took."""
        self._since: Micros = 0
        self._from = 100.0

    @property
    def lit(self) -> bool:
        """Whether it gives its light: from its battery, as it is not maintained."""
        return (not self.mains or self.testing is not None) and self.battery > 0 and self.condition != "lamp"

    @property
    def battery(self) -> float:
        """The charge in per cent."""
        passed = self.now - self._since
        if self.mains and self.testing != "duration":
            most = WORN if self.condition == "worn" else 100.0
            return max(self._from, min(most, self._from + 100 * passed / CHARGE))
        return max(0.0, self._from - 100 * passed / (self._lasts * MINUTE))

    @property
    def charged(self) -> bool:
        return self.battery >= 100

    def begin(self, test: Test) -> None:
        """Start a test, unless one runs or the mains are away."""
        if self.testing is not None or not self.mains:
            return
        self._settle()
        self.testing = test
        self.done.discard(test)
        self.note(f"{test} test begins")
        lasts = FUNCTION if test == "function" else self._till_end()
        if self.condition != "endless":
            self._agenda.after(lasts, "test", self._end)

    def stop(self) -> None:
        """End a test before its time; nothing is known of it."""
        if self.testing is None:
            return
        self._settle()
        self._agenda.cancel("test")
        self.note(f"{self.testing} test aborted")
        self.testing = None

    def set_mains(self, on: bool) -> None:
        """Let the mains fail or come back; a failure ends a test."""
        if on == self.mains:
            return
        self.stop()
        self._settle()
        self.mains = on
        self.note("mains back" if on else "mains lost")

    def become(self, condition: Condition) -> None:
        """Let something of it fail, or be whole again; a battery that was worn or weak is a new one then."""
        self._settle()
        if condition == "good" and self.condition in ("weak", "worn"):
            self._from = 100.0
        self.condition = condition
        self.note(f"condition {condition}")

    @property
    def _lasts(self) -> int:
        return WEAK if self.condition == "weak" else LASTS

    def _till_end(self) -> Micros:
        """Return how long a duration test takes: its rated time, or until the battery is empty."""
        return min(RATED * MINUTE, int(self._from / 100 * self._lasts * MINUTE))

    def _end(self) -> None:
        test = self.testing
        assert test is not None
        took = (self.now - self._since) // MINUTE
        self._settle()
        self.testing = None
        bad = self.condition in ("lamp", "circuit")
        if test == "duration":
            self.minutes, self.short = took, took < RATED
            bad = bad or self.short
        self.done.add(test)
        (self.failed.add if bad else self.failed.discard)(test)
        self.note(f"{test} test {'failed' if bad else 'passed'}", minutes=took)

    def _settle(self) -> None:
        """Count the charge from now on."""
        self._from, self._since = self.battery, self.now

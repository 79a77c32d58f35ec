"""What every simulated device is, whatever its family: a life on a clock that is moved from outside. No I/O."""

from collections.abc import Callable

from simulators.agenda import Agenda
from sitekeeper.model.clock import Micros

Tell = Callable[[Micros, str, dict[str, int | bool | str]], None]
"""Receives a fact: when, which, and its particulars."""


def nobody(_at: Micros, _fact: str, _more: object) -> None:
    """Listen to nothing."""


class Behaviour:
    """A device. Read its properties after `advance`; `plan` puts an act of the story at its exact time.

    Args:
        tell: hears what truly happened.
    """

    def __init__(self, tell: Tell = nobody) -> None:
        self._agenda = Agenda()
        self._tell = tell

    @property
    def now(self) -> Micros:
        return self._agenda.now

    @property
    def next(self) -> Micros | None:
        """When something will happen by itself; None if nothing will."""
        return self._agenda.next

    def advance(self, to: Micros) -> None:
        """Let the device live until `to`."""
        self._agenda.run(to)

    def plan(self, at: Micros, name: str, action: Callable[[], None]) -> None:
        """Do `action` at exactly `at`, between the device's own moves; `name` must be new."""
        self._agenda.at(at, name, action)

    def note(self, fact: str, **more: int | bool | str) -> None:
        """Tell a fact."""
        self._tell(self.now, fact, more)

"""A car park's counter: cars as its lanes count them, and sessions as its desk knows them. No I/O."""

from simulators.behaviour import Behaviour, Tell, nobody
from sitekeeper.model.clock import Micros


class CarPark(Behaviour):
    """The counter. It is told by `sees` what happens in its lanes.

    Args:
        capacity: places. inside: cars that are there at the beginning, all with a session. tell: hears what truly
            happened.
    """

    def __init__(self, *, capacity: int = 120, inside: int = 40, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.capacity = capacity
        self.counted = self.sessions = inside

    def sees(self, _at: Micros, fact: str) -> None:
        """Count a car that has entered or left."""
        step = {"vehicle entered": 1, "vehicle left": -1}.get(fact, 0)
        self.counted = max(0, self.counted + step)
        self.sessions = max(0, self.sessions + step)

    def drift(self, cars: int) -> None:
        """Count so many cars too many, or with a minus too few."""
        self.counted = max(0, self.counted + cars)
        self.note("count drifted", cars=cars)

    def recount(self) -> None:
        """Set the count right."""
        self.counted = self.sessions
        self.note("recounted")

    def shown(self) -> dict[str, object]:
        """Return what it tells."""
        full = self.counted >= self.capacity
        return {"occupancy": self.counted, "capacity": self.capacity, "sessions": self.sessions, "full": full}

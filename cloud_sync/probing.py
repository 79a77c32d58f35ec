"""When an office that does not answer is asked again: ever more rarely, by chance, and for ever. Pure."""

from dataclasses import dataclass
from random import Random

from cloud_sync.uplink_records import UplinkLimits
from sitekeeper.model.clock import Micros


@dataclass(slots=True)
class Probing:
    """`at`: when the next probe is due; None while the office answers. `times`: probes since it last did."""

    limits: UplinkLimits
    random: Random
    at: Micros | None = None
    times: int = 0

    def begin(self, now: Micros, *, nobody: bool) -> None:
        """Probe from now on: at once, or a while after the broker said that nobody listens."""
        self.at = now + (self._delay(nobody=True) if nobody else 0)

    def end(self) -> None:
        """The office has answered."""
        self.at = None
        self.times = 0

    def turn(self, now: Micros, *, nobody: bool) -> bool:
        """Tell whether a probe is due; then the next one is due after a longer while."""
        if self.at is None or now < self.at:
            return False
        self.times += 1
        self.at = now + self._delay(nobody=nobody)
        return True

    def _delay(self, *, nobody: bool) -> Micros:
        delay = min(self.limits.probe_first << min(self.times, 10), self.limits.probe_most)
        return jitter(min(delay, self.limits.probe_nobody) if nobody else delay, self.random)


def jitter(delay: Micros, random: Random) -> Micros:
    """Return about as long, by chance, so that many sites do not do the same at once."""
    return int(delay * random.uniform(0.75, 1.25))

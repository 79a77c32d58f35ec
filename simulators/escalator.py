"""An escalator that runs, is turned round and fails: a behaviour on a clock that is moved from outside. No I/O."""

from typing import Final, Literal

from simulators.behaviour import Behaviour, Tell, nobody

Direction = Literal["stopped", "up", "down"]
EscalatorFault = Literal["controller", "drive", "mechanical", "overspeed", "safety", "too_hot", "comb"]
EscalatorDeed = Literal[
    "run_up", "run_down", "stop", "reverse", "alarm", "alarm_over", "clear", "inspection", "inspection_over",
    "controller", "drive", "mechanical", "overspeed", "safety", "too_hot", "comb",
]  # fmt: skip
"""What people and the machine may do, see `Escalator.do`; the last seven are faults, which `clear` ends."""

_RUNS: Final[dict[str, Direction]] = {"run_up": "up", "run_down": "down", "stop": "stopped"}


class Escalator(Behaviour):
    """The escalator. Read its properties after `advance`; `plan` puts an act of the story at its exact time."""

    def __init__(self, *, tell: Tell = nobody) -> None:
        super().__init__(tell)
        self.direction: Direction = "up"
        self.set_to: Direction = "up"
        self.inspection = False
        self.alarm = False
        self.mains = True
        self.faults: set[EscalatorFault] = set()

    def do(self, deed: EscalatorDeed) -> None:
        """Start, stop or turn it; `reverse` is what it must never do by itself: the other way without a stop."""
        match deed:
            case "run_up" | "run_down" | "stop":
                self.direction = self.set_to = _RUNS[deed]
            case "reverse":
                self.direction = "up" if self.direction == "down" else "down"
            case "alarm" | "alarm_over":
                self.alarm = deed == "alarm"
            case "inspection" | "inspection_over":
                self.inspection = deed == "inspection"
            case "clear":
                self.faults.clear()
            case _:
                self.faults.add(deed)
                if deed in {"overspeed", "safety"}:
                    self.direction = "stopped"
        self.note(f"escalator {deed.replace('_', ' ')}")

    def set_mains(self, on: bool) -> None:
        """The supply fails, and it stops; it does not start by itself when the supply returns."""
        if on != self.mains:
            self.mains = on
            self.direction = self.direction if on else "stopped"
            self.note("mains restored" if on else "mains failed")

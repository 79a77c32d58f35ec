"""What a search is going to send, and for how long at most: told to the person before the first byte leaves. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of request. `code` names its sentence (`discover.step.<code>`), `values` fill it; `seconds` at most."""

    code: str
    seconds: float
    values: dict[str, object] = field(default_factory=dict)


def total(steps: Sequence[Step]) -> float:
    """Return for how many seconds all of them take at most."""
    return sum(step.seconds for step in steps)

"""What a check found. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

State = Literal["ok", "warn", "fail"]
RANK: Final[dict[State, int]] = {"fail": 0, "warn": 1, "ok": 2}

Facts = Mapping[str, Any]
"""An item as the daemon answers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding of one check.

    Attributes:
        id: of the check; stable, scripts may rely on it.
        about: the device; empty when it is about the gateway.
        said: key of the evidence in the texts of `doctor`; that of the likely cause is `<said>.cause`.
        fields: what the evidence needs.
        next: the command to run next; empty when nothing is wrong.
    """

    id: str
    state: State
    said: str
    about: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    next: str = ""

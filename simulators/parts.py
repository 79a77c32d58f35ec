"""What every part of a scenario file is made of."""

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from simulators.faults import Protocol
from sitekeeper.durations import parse_duration
from sitekeeper.model.clock import Micros

Deed = Callable[[], None]
"""What is called when the time of an act has come."""
Faces = Mapping[Protocol, Mapping[str, frozenset[str]]]
"""The faces of a family of devices by the kind of link on which they stand, each with what can happen to it."""


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[Micros, BeforeValidator(_duration), Field(strict=True, ge=0)]


class Part(BaseModel):
    """One mapping of a scenario file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

"""What a scenario file may say of every device alike: its supply, and the faults of its connection."""

from typing import Literal

from pydantic import Field

from simulators.faults import Fault, FaultKind
from simulators.parts import Duration, Part


class FaultPart(Part):
    """A fault of the connection; `for` is how long, else until another step ends it with `kind: none`."""

    kind: FaultKind | Literal["none"]
    lasts: Duration | None = Field(default=None, alias="for")
    delay: Duration | None = None
    count: int | None = Field(default=None, ge=0, le=1500)
    property: str | None = Field(default=None, pattern=r"^[a-z][A-Za-z]*$")
    code: int | None = Field(default=None, ge=0, le=255)
    times: int | None = Field(default=None, ge=1)

    def fault(self) -> Fault | None:
        """Return the fault to switch on; None to switch off."""
        if self.kind == "none":
            return None
        given = self.model_dump(include={"delay", "count", "code", "times", "property"}, exclude_none=True)
        return Fault(kind=FaultKind(self.kind), **given)


class ConnectionActs(Part):
    """What can happen to a device of any kind; of the mains only to one that has such an act."""

    mains: Literal["failed", "restored"] | None = None
    fault: FaultPart | None = None

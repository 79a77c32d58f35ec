"""`local:` of a site: who is told of alarms on site while the office does not know of them."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import MINUTE, SECOND, Micros
from sitekeeper.profile import Id, Period, Scalar, Written

_SHORTEST: Micros = 5 * SECOND


def _reachable(url: str) -> str:
    """Return a URL whose host and port there could be: else each post would fail, and only once there is an alarm."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        host, port = b"", None
    if not host or port == 0:
        raise PydanticCustomError("bad-url", "a host and a port that there could be")
    return url


class LocalWriteSection(Written):
    """What is written to be heard or seen: `<device>/<point>`, which the class lets rules write.

    `then`: what is written afterwards, for a point that stays as it is when nobody claims it any more.
    """

    point: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*/[a-z][a-z0-9_.]*$", max_length=130)]
    value: Scalar
    then: Scalar | None = None


class LocalPostSection(Written):
    """Where a signed message is posted; without a secret it is not signed."""

    url: Annotated[
        str, Field(pattern=r"^https?://[a-z0-9.:\[\]-]+(/[!-~]*)?$", max_length=500), AfterValidator(_reachable)
    ]
    secret: Annotated[str, Field(min_length=16, max_length=200)] | None = None


class LocalTargetSection(Written):
    """One target: a point that is written for a while, or a message.

    Attributes:
        audience: `security` for alarms of which only security may know, and no others; such a target is never heard.
        on: how long the point is written each time.
    """

    id: Id
    priorities: Annotated[list[Priority], Field(min_length=1, max_length=4)] = ["P1"]
    audience: Literal["security"] | None = None
    write: LocalWriteSection | None = None
    on: Period = 10 * SECOND
    webhook: LocalPostSection | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "LocalTargetSection":
        if (self.write is None) == (self.webhook is None):
            raise PydanticCustomError("local-way", "a target has either write or webhook")
        if self.audience and self.write:
            raise PydanticCustomError("local-heard", "what only security may know is not heard: give a webhook")
        return self


class LocalSection(Written):
    """`after`: how long the office may lack an alarm. `repeat`: how often a target is told again."""

    after: Period = 30 * SECOND
    repeat: Annotated[Period, Field(ge=_SHORTEST)] = MINUTE
    targets: Annotated[list[LocalTargetSection], Field(max_length=20)] = []

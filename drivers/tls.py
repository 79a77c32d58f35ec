"""What people write where a link of any protocol is encrypted. Pure."""

from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from sitekeeper.profile import Written


def _file(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path of a file")
    return value


File = Annotated[str, AfterValidator(_file)]


class Tls(Written):
    """Encryption, with the files that prove who is who: PEM, absolute paths.

    Attributes:
        ca: the authority that the peer's certificate must come from. certificate, key: ours, if the peer asks.
    """

    ca: File
    certificate: File | None = None
    key: File | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self

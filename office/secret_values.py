"""Secrets in office.yaml, `${secret:name}`: where they come from, and what is said of one that is not there."""

import os
import re
from pathlib import Path
from typing import Final

from sitekeeper.faults import Faults, Place
from sitekeeper.located_yaml import Document, Plain, Trail, read_document
from sitekeeper.model.errors import Fault
from sitekeeper.texts import text

_REFERENCE: Final = re.compile(r"\$\{secret:([a-z][a-z0-9_]{0,63})\}")


def say(faults: Faults, place: Place, code: str, *, near: str = "", **fields: object) -> None:
    """Note a fault of office.yaml in the words of `fault.<code>`; `near` becomes "did you mean"."""
    message = text(f"office.fault.{code}", faults.lang, **fields)
    hint = text("office.fault.did-you-mean", faults.lang, near=near) if near else ""
    faults.put(Fault(place.file, place.line, place.column, code, message, hint))


class Secrets:
    """Looks secrets up; what is wrong with secrets.yaml is a fault as soon as one is wanted from it."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._path = folder / "secrets.yaml"
        self._faults = faults
        self._read: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        """Return a secret; None for one that nobody has."""
        if (value := os.environ.get(f"SITEKEEPER_SECRET_{name.upper()}")) is not None:
            return value
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and (Path(credentials) / name).is_file():
            return (Path(credentials) / name).read_text().strip()
        if self._read is None:
            self._read = self._file()
        return self._read.get(name)

    def _file(self) -> dict[str, str]:
        if not self._path.is_file():
            return {}
        if self._path.stat().st_mode & 0o077:
            say(self._faults, Place(self._path.name), "secrets-open", name=self._path.name)
            return {}
        document = read_document(self._path, self._path.name, self._faults)
        data = document.data if document is not None else None
        return {str(k): v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}


def resolve(document: Document, value: Plain, trail: Trail, secrets: Secrets, faults: Faults) -> Plain:
    """Return `value` with every secret put in its place."""
    if isinstance(value, dict):
        return {k: resolve(document, v, (*trail, k), secrets, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [resolve(document, v, (*trail, i), secrets, faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def known(match: re.Match[str]) -> str:
        if (secret := secrets.get(match[1])) is None:
            say(faults, document.place(trail), "unknown-secret", name=match[1])
            return "unknown secret " + match[1]
        return secret

    return _REFERENCE.sub(known, value)


def named_in(data: Plain, trail: Trail) -> list[str]:
    """Return the names of the secrets that the value at `trail` is written with."""
    value: object = data
    for part in trail:
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return []
    return _REFERENCE.findall(value) if isinstance(value, str) else []

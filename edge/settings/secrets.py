"""`${secret:name}`: looked up in systemd's credentials, then the environment, then `secrets.yaml`. Never printed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge.settings.written import Origin
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Plain, read_document

FILE: Final = "secrets.yaml"
_ENVIRONMENT: Final = "SITEKEEPER_SECRET_"
_REFERENCE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"secret:([a-z][a-z0-9_]{0,63})")
_LONGEST: Final = 64 * 1024


class Secrets:
    """The secrets of one site. `SITEKEEPER_SECRET_DOORS_MQTT` in the environment is `${secret:doors_mqtt}`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], faults: Faults) -> None:
        self._faults = faults
        self._environment = environment
        credentials = environment.get("CREDENTIALS_DIRECTORY")
        self._credentials = Path(credentials) if credentials else None
        self._own = self._read(folder / FILE)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._own))})"

    def fill(self, data: Plain, where: Origin) -> Plain:
        """Return `data` with every reference replaced; what cannot be replaced is a fault at its place."""
        if isinstance(data, str) and "${" in data:
            return self._fill_text(data, where.place())
        if isinstance(data, list):
            return [self.fill(item, where.within(index)) for index, item in enumerate(data)]
        if isinstance(data, dict):
            return {key: self.fill(value, where.within(key)) for key, value in data.items()}
        return data

    def _fill_text(self, written: str, place: Place) -> str:
        def found(match: re.Match[str]) -> str:
            name = _NAME.fullmatch(match[1])
            if name is None:
                self._faults.add(place, "bad-reference", hint="secret-reference", text=match[0])
                return match[0]
            value = self._value(name[1])
            if value is None:
                self._faults.add(
                    place, "unknown-secret", near=nearest(name[1], self._own), hint="give-secret", name=name[1],
                    variable=_ENVIRONMENT + name[1].upper(),
                )  # fmt: skip
            return match[0] if value is None else value

        return _REFERENCE.sub(found, written)

    def _value(self, name: str) -> str | None:
        if self._credentials is not None and (self._credentials / name).is_file():
            with (self._credentials / name).open("rb") as stream:
                return stream.read(_LONGEST).decode("utf-8", "replace").rstrip("\r\n")
        return self._environment.get(_ENVIRONMENT + name.upper()) or self._own.get(name)

    def _read(self, path: Path) -> dict[str, str]:
        if not path.exists():
            return {}
        if path.stat().st_mode & 0o077:
            self._faults.add(Place(FILE), "secrets-open", hint="close-secrets", name=FILE)
        document = read_document(path, FILE, self._faults, max_bytes=_LONGEST)
        if document is None:
            return {}
        if not isinstance(document.data, dict):
            self._faults.add(document.place(()), "wrong-type", text="...", expected=self._faults.word("a-mapping"))
            return {}
        return {str(name): self._text(value, document.place((name,))) for name, value in document.data.items()}

    def _text(self, value: Plain, place: Place) -> str:
        """Take a secret as text only: a number would come out differently from how it was written."""
        if not isinstance(value, str):
            self._faults.add(place, "wrong-type", hint="quote-secret", text="...", expected=self._faults.word("a-text"))
            return ""
        return value

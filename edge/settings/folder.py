"""The files of a site folder, each read once: which there are, what they hold, and a hash over all of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from edge.settings.limits import LIMITS
from edge.settings.secrets import FILE as SECRETS
from edge.settings.secrets import Secrets
from edge.settings.written import origin
from sitekeeper.faults import Faults, Place, nearest
from sitekeeper.located_yaml import Document, read_document

SITE: Final = "site.yaml"
FOLDERS: Final = ("devices", "profiles", "rules")


@dataclass(slots=True)
class Folder:
    """A site folder as read; secrets are filled in, but not in rules, which have no business with them."""

    site: Document | None = None
    devices: list[Document] = field(default_factory=list)
    rules: list[Document] = field(default_factory=list)
    revision: str = ""


def read_folder(path: Path, environment: Mapping[str, str], faults: Faults) -> Folder:
    """Read `site.yaml`, `devices/*.yaml` and `rules/*.yaml`. A YAML file elsewhere is a fault: nothing reads it."""
    folder = Folder()
    if not path.is_dir():
        faults.add(Place(str(path)), "no-folder", name=str(path))
        return folder
    files = _files(path, faults)
    secrets = Secrets(path, environment, faults)
    site, devices = _read(path, [SITE], faults), _read(path, _in("devices", files), faults)
    folder.site = next((_filled(document, secrets) for document in site), None)
    folder.devices = [_filled(document, secrets) for document in devices]
    folder.rules = _read(path, _in("rules", files), faults)
    folder.revision = _hash(path, [name for name in files if name != SECRETS])
    return folder


def _files(path: Path, faults: Faults) -> list[str]:
    """Names of all YAML files, relative to the folder; at most the limit."""
    found: list[str] = []
    for file in sorted(path.rglob("*.y*ml")):
        name = file.relative_to(path).as_posix()
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        if len(found) >= LIMITS.files:
            faults.add(Place(name), "limit", what="files", limit=LIMITS.files)
            break
        found.append(name)
        _expected(name, faults)
    return found


def _expected(name: str, faults: Faults) -> None:
    first, _, rest = name.partition("/")
    known = (name in {SITE, SECRETS}) or (first in FOLDERS and rest.endswith(".yaml") and "/" not in rest)
    if not known:
        if name.endswith(".yml"):
            near = name.removesuffix(".yml") + ".yaml"
        else:
            near = f"{nearest(first, FOLDERS)}/{rest}" if rest else nearest(name, (SITE, SECRETS))
        faults.add(Place(name), "unread-file", near="" if near.startswith("/") else near, hint="files", name=name)


def _in(part: str, files: list[str]) -> list[str]:
    return [name for name in files if name.startswith(f"{part}/") and name.endswith(".yaml") and name.count("/") == 1]


def _read(path: Path, names: list[str], faults: Faults) -> list[Document]:
    documents = (read_document(path / name, name, faults) for name in names)
    return [document for document in documents if document is not None]


def _filled(document: Document, secrets: Secrets) -> Document:
    filled = secrets.fill(document.data, origin(document))
    return replace(document, data=filled, written=document.data)


def _hash(path: Path, names: list[str]) -> str:
    """BLAKE2b (RFC 7693), 128 bits, over names and contents; a file that cannot be read counts as empty."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        try:
            content = (path / name).read_bytes()[: LIMITS.file]
        except OSError:
            content = b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()

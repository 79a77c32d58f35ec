"""What the office's word rests on: the folder of its keys, and the key with which it signs commands.

trust/                  beside the store unless office.yaml says another (`enrol: {folder: ...}`); only for its owner
|-- ca.key, ca.pem      the certificate authority (`office.enrol.authority`)
|-- command.key         Ed25519, signs commands (`cloud_sync.signing.signer`); 0600, never leaves
`-- office-command.pub  its public half; every site gets it when it joins, under the same name in its own `trust/`

A lost `command.key` means that every site must join again before it obeys: back the folder up.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sitekeeper import files
from sitekeeper.model.errors import FormatError, StorageError

FOLDER: Final = "trust"
COMMAND_KEY: Final = "command.key"
COMMAND_PUBLIC: Final = "office-command.pub"


def folder_for(store: Path) -> Path:
    """Return the folder of an office whose settings name none."""
    return store.with_name(FOLDER)


def command_key(folder: Path) -> Path:
    """Return the file of the key that signs commands, made now if there is none; its public half lies beside it then.

    Two processes that ask at once get the same key.

    Raises:
        StorageError: it cannot be read or made, is damaged, or others may read it.
    """
    from sitekeeper.certificates import new_signing_key, signing_public  # late: 10 MB that few processes need

    path = folder / COMMAND_KEY
    files.folder(folder)
    with locked(folder):
        pem = files.get(path, private=True)
        if pem is None:
            pem = new_signing_key()
            files.put(path, pem, mode=files.PRIVATE)
        try:
            public = signing_public(pem)
        except FormatError as error:
            raise StorageError(f"{path}: {error}; restore it from a backup") from None
        if files.get(folder / COMMAND_PUBLIC) != public:
            files.put(folder / COMMAND_PUBLIC, public)
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against every other process and thread that changes what is in it; held for milliseconds only.

    Raises:
        StorageError: the lock cannot be had.
    """
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, files.PRIVATE)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

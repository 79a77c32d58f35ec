"""What mosquitto is told: who may do what, who is revoked, how to speak TLS. Files in one folder, each written whole.

acl             per site its own subtree alone: it writes `up/#` and reads `down/#`; the office the other way round
revoked.pem     the revocation list
ca.pem, server.pem, server.key
sitekeeper.conf a listener that asks everybody for a certificate; for `include_dir`, or as it is with `mosquitto -c`

mosquitto (2.0.11 of Debian 12 was tried) reads acl, certificates and revocation list again at SIGHUP. With the new acl
a revoked site's publishes are answered 135 at once, with the new list it cannot connect again; a connection that stands
is ended by the office (`office.enrol.gate`). A subscription elsewhere is granted, but nothing comes of it.
"""

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cloud_sync.wire import ROOT
from office.enrol.authority import OFFICE_NAME
from sitekeeper import files
from sitekeeper.model.errors import StorageError

FOR_GROUP: Final = 0o640
"""The broker's user reads by the group of the folder; give it that group, with the set-group-id bit."""
_PROGRAM: Final = "mosquitto"


def acl(sites: Iterable[str]) -> bytes:
    """Return mosquitto's `acl_file`: these sites, the office, and nobody else."""
    parts = [f"user {OFFICE_NAME}\ntopic read {ROOT}/+/up/#\ntopic write {ROOT}/+/down/#\n"]
    parts += [f"user {s}\ntopic write {ROOT}/{s}/up/#\ntopic read {ROOT}/{s}/down/#\n" for s in sorted(sites)]
    return "\n".join(("# Written by sitekeeper; every change is lost at the next one.", *parts)).encode()


def conf(folder: Path, port: int) -> bytes:
    """Return settings for mosquitto."""
    return f"""\
# Written by sitekeeper; every change is lost at the next one.
per_listener_settings true
listener {port}
tls_version tlsv1.2
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
crlfile {folder}/revoked.pem
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
max_packet_size 4259840
max_inflight_messages 1000
max_queued_messages 100000
""".encode()


def publish(folder: Path, contents: dict[str, bytes]) -> bool:
    """Write what differs; tell whether anything did.

    Raises:
        StorageError: a file cannot be written.
    """
    files.folder(folder, mode=0o750)
    changed = {name: content for name, content in contents.items() if files.get(folder / name) != content}
    for name, content in changed.items():
        files.put(folder / name, content, mode=FOR_GROUP)
    return bool(changed)


def reload(pid_file: str | None) -> str:
    """Have the broker read its files again; return what a person must do instead, empty if nothing.

    A process that is not mosquitto is left alone: the file may be older than the last start of the machine.
    """
    by_hand = "have the broker read its files again: systemctl reload mosquitto"
    if pid_file is None:
        return by_hand
    try:
        pid = int((files.get(Path(pid_file)) or b"").strip() or 0)
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if pid <= 1 or name != _PROGRAM:
            return f"{pid_file} names no {_PROGRAM} that runs; {by_hand}"
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError, StorageError) as error:
        return f"{pid_file}: {error}; {by_hand}"
    return ""

"""A disk that the kernel has made read-only, as ext4 is after an error: the outbox says so, and waits."""

import subprocess
from pathlib import Path

import pytest

from edge.outbox import Outbox
from sitekeeper.model.clock import SystemClock
from sitekeeper.model.errors import StorageError
from tests.fixtures.small_disk import small_disk
from tests.outbox_content import SITE, samples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True, capture_output=True)


def test_an_outbox_on_a_read_only_disk_is_refused_and_not_taken_for_damaged(tmp_path: Path) -> None:
    """The reason names the file; nothing is moved aside; once it may be written it goes on where it was."""
    with small_disk(tmp_path, 24) as disk:
        path = disk.folder / "outbox.db"
        outbox = Outbox.open(path, site=SITE, clock=SystemClock())
        outbox.append([samples(outbox.epoch, 1, 1)]).result(5)
        outbox.close()
        remount(disk.folder, "ro")
        with pytest.raises(StorageError, match=r"outbox\.db.*[Rr]ead-only"):
            Outbox.open(path, site=SITE, clock=SystemClock())
        remount(disk.folder, "rw")
        assert not list(disk.folder.glob("*.quarantine-*"))
        again = Outbox.open(path, site=SITE, clock=SystemClock())
        assert (again.epoch, again.next_sequence("samples")) == (outbox.epoch, 2)
        again.close()

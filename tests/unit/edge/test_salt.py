"""The site's salt: made once, durable, for the daemon's eyes only, and never replaced."""

from pathlib import Path

import pytest

from edge import salt
from sitekeeper.model.errors import StorageError


def test_it_is_made_once_and_outlives_the_outbox(tmp_path: Path) -> None:
    """The first start makes 32 random bytes with mode 0600; every later one finds the same."""
    made = salt.load(tmp_path)
    assert len(made) == 32
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600
    assert salt.load(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]
    (tmp_path / "other").mkdir()
    assert salt.load(tmp_path / "other") != made


def test_what_a_kill_left_of_the_making_is_no_salt(tmp_path: Path) -> None:
    """A half-written file has not got the name yet; the next start makes a whole one."""
    (tmp_path / "salt.new").write_bytes(b"half")
    assert len(salt.load(tmp_path)) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700])
def test_a_salt_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The error says what to do, and the file stays as it is."""
    made = salt.load(tmp_path)
    (tmp_path / "salt").chmod(mode)
    with pytest.raises(StorageError, match=f"mode {mode:04o}.*chmod 0600"):
        salt.load(tmp_path)
    (tmp_path / "salt").chmod(0o600)
    assert salt.load(tmp_path) == made


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_salt_of_the_wrong_length_is_refused(tmp_path: Path, content: bytes) -> None:
    """It is never silently replaced: everything recorded so far hangs on it."""
    (tmp_path / "salt").write_bytes(content)
    (tmp_path / "salt").chmod(0o600)
    with pytest.raises(StorageError, match="restore it"):
        salt.load(tmp_path)
    assert (tmp_path / "salt").read_bytes() == content


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    """Nobody lends the daemon a salt of his own through a symbolic link."""
    (tmp_path / "elsewhere").write_bytes(b"x" * 32)
    (tmp_path / "salt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="salt"):
        salt.load(tmp_path)

"""The file of an export: its owner's alone, whole or not there, whatever stands where it is made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from office.export import written
from sitekeeper.model.errors import NotFound, StorageError


def test_what_is_left_of_an_earlier_one_is_not_written_through(tmp_path: Path) -> None:
    """A link to another file is no way to it, and a file that others may read does not become this one."""
    path, part, other = tmp_path / "s1.export", tmp_path / "s1.export.part", tmp_path / "other"
    other.write_text("mine")
    part.symlink_to(other)
    assert written(path, [b"{}", b"{}"]) == 2
    assert other.read_text() == "mine"
    assert not path.is_symlink()
    part.touch()
    part.chmod(0o644)
    written(path, [b"{}"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_what_comes_in_between_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who puts a link there at the last moment gets nothing."""
    path, part, other = tmp_path / "s1.export", tmp_path / "s1.export.part", tmp_path / "other"
    other.write_text("mine")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    part.symlink_to(other)
    with pytest.raises(StorageError, match="File exists"):
        written(path, [b"{}"])
    assert other.read_text() == "mine"
    assert not path.exists()


def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither a part nor a file."""

    def failing() -> Iterator[bytes]:
        yield b"{}"
        raise NotFound("no site")

    with pytest.raises(NotFound):
        written(tmp_path / "s1.export", failing())
    assert list(tmp_path.iterdir()) == []

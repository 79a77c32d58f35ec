"""A site folder in a temporary place, changed piece by piece."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.settings import Site, load

SITE = """\
site: {id: here, timezone: Asia/Hong_Kong}
links:
  lifts: {driver: modbus-tcp, host: 10.1.3.41}
devices:
  - {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}
rules:
  packs: [lift]
"""

Loader = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path) -> Loader:
    """Return what writes a site folder and loads it: the usual site with `old` replaced by `new`, and further files."""

    def loader(old: str = "", new: str = "", *, environment: dict[str, str] | None = None, **files: str) -> Site:
        assert SITE.count(old) == 1 or not old
        (tmp_path / "site.yaml").write_text(SITE.replace(old, new) if old else SITE)
        for name, content in files.items():
            path = tmp_path / (name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            path.chmod(0o600)
        return load(tmp_path, environment=environment or {})

    return loader

"""Where the data of this software lies: classes, profiles, rule packs, texts, scenarios."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def data_path(*parts: str) -> Path:
    """Return the path of a file or folder of ours: `config/...` in a checkout, `sitekeeper/data/...` as installed."""
    installed = _PACKAGE / "data"
    return (installed if installed.is_dir() else _PACKAGE.parent / "config").joinpath(*parts)

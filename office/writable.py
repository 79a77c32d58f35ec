"""What may be commanded from this office: the allow-list of the device classes, less what has an interlock.

The list is the same file that the site reads (`config/classes/`), so a page offers nothing that every site would
refuse. The site decides all the same: a profile may write less.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import yaml
from pydantic import ValidationError

from sitekeeper.data import data_path
from sitekeeper.model.errors import StorageError
from sitekeeper.profile import ClassFile, Writable


def writable(cls: str, tags: Iterable[str]) -> dict[str, Writable]:
    """Return by point what a person at the office may ask of a device of this class with these tags.

    Raises:
        StorageError: the class file cannot be read.
    """
    narrowed = {name: allowed.narrowed(tags) for name, allowed in _of_class(cls).items()}
    return {name: allowed for name, allowed in narrowed.items() if allowed is not None}


@lru_cache(64)
def _of_class(cls: str) -> Mapping[str, Writable]:
    path = data_path("classes", f"{cls}.yaml")
    if path.parent != data_path("classes") or not path.is_file():  # a class of the site's own allows nothing
        return {}
    try:
        points = ClassFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).points
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise StorageError(f"{path}: {error}") from None
    rules = {name: point.writable for name, point in points.items() if point.writable is not None}
    return {name: rule for name, rule in rules.items() if rule.interlock is None and "operator" in rule.by}

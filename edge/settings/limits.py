"""How much a site may hold. One table; exceeding a line of it is a fault that names it."""

from dataclasses import dataclass

from sitekeeper.located_yaml import MAX_BYTES
from sitekeeper.profile import EXPRESSION_LIMIT, NAME_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds, each inclusive.

    Attributes:
        name, expression: characters. file: bytes. files: YAML files in a site folder.
    """

    points: int = 20_000
    devices: int = 5_000
    rules: int = 5_000
    name: int = NAME_LIMIT
    expression: int = EXPRESSION_LIMIT
    file: int = MAX_BYTES
    files: int = 500


LIMITS = Limits()

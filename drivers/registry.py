"""Which drivers there are: an explicit table, imported only when a link uses one.

Third parties add theirs with an entry point in the group `sitekeeper.drivers`: name = "module:KIND".
"""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from drivers.base import DriverKind
from sitekeeper.model.errors import ConfigError, Fault, NotFound

ENTRY_POINTS: Final = "sitekeeper.drivers"

BUILT_IN: Final[dict[str, str]] = {
    "bacnet-ip": "drivers.bacnet:IP",
    "modbus-rtu": "drivers.modbus:RTU",
    "modbus-rtu-over-tcp": "drivers.modbus:RTU_OVER_TCP",
    "modbus-tcp": "drivers.modbus:TCP",
    "mqtt": "drivers.mqtt:KIND",
}
"""Name of the kind -> `module:attribute`."""


def merge(sources: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """Join the tables of several origins, each a list of (name, `module:attribute`), into one.

    Raises:
        ConfigError: two origins claim one name; both are named.
    """
    owner: dict[str, str] = {}
    table: dict[str, str] = {}
    for origin, entries in sources.items():
        for name, place in entries:
            if name in table:
                what = f"driver {name!r} is defined twice: {table[name]} by {owner[name]} and {place} by {origin}"
                raise ConfigError([Fault(origin, 0, 0, "duplicate-driver", what, "uninstall one of them")])
            table[name], owner[name] = place, origin
    return table


@cache
def _table() -> dict[str, str]:
    sources: dict[str, list[tuple[str, str]]] = {"sitekeeper": list(BUILT_IN.items())}
    for entry in entry_points(group=ENTRY_POINTS):
        origin = entry.dist.name if entry.dist else "an installed package"
        sources.setdefault(origin, []).append((entry.name, entry.value))
    return merge(sources)


def names() -> tuple[str, ...]:
    """Return the names of all kinds of driver, sorted; imports none of them."""
    return tuple(sorted(_table()))


def kind(name: str) -> DriverKind:
    """Return the kind of driver called `name`, importing it now.

    Raises:
        NotFound: there is none of that name; carries near misses.
        ConfigError: two packages claim a name, or the driver's library is not installed.
    """
    table = _table()
    if name not in table:
        raise NotFound(f"driver {name!r}", near=tuple(get_close_matches(name, table, n=3, cutoff=0.5)))
    module, _, attribute = table[name].partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except ImportError as error:
        what = f"driver {name!r} needs a library that is not installed: {error}"
        raise ConfigError([Fault(module, 0, 0, "driver-library", what)]) from error
    return cast("DriverKind", found)

"""What only some may know: alarms of rules with an audience, and fields of events that are secret; duress above all.

To everybody else they do not exist. Pure: who is among the few is said by whoever knows the caller.
"""

from collections.abc import Collection, Mapping
from typing import Final

from sitekeeper.catalogue import Catalogue
from sitekeeper.model.sample import Value

SECURITY_GROUP: Final = "sitekeeper-security"
"""The Unix group whose members are told of duress, as root is; whatever else they may, their role says."""
SECURITY_FLAG: Final = "~security"
"""The argument of an operation on a local socket that says whether the caller is one of them; only servers set it."""


def hidden_rules(catalogue: Catalogue) -> frozenset[str]:
    """Return the rules of a site whose alarms only security may know of."""
    return frozenset(row.id for row in catalogue.rules if row.audience)


def shown_fields(secrets: Collection[str], source_id: str, fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return the fields of an event `<device>/<event>` that everybody may see; `secrets` as of `Catalogue.secrets`.

    A secret one is left out whatever its value: that it is there and false would tell when it is not there.
    """
    event = source_id.partition("/")[2]
    return {name: value for name, value in fields.items() if f"{event}/{name}" not in secrets}

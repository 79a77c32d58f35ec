"""Of which alarms a caller on site may know: `sitekeeper.audience`, for operations.

Who is of security says the server, by the peer's credentials (`edge.socket_api`); no request can say it of itself.
"""

from collections.abc import Mapping

from edge.operations.gateway import Gateway
from sitekeeper.audience import SECURITY_FLAG, hidden_rules
from sitekeeper.model.alarm import AlarmRecord, split_key


def sees(args: Mapping[str, object]) -> bool:
    """Tell whether the caller may know of what concerns security alone."""
    return args.get(SECURITY_FLAG) is True


def hidden(gateway: Gateway, args: Mapping[str, object]) -> frozenset[str]:
    """Return the rules of which the caller is told nothing."""
    return frozenset() if sees(args) else hidden_rules(gateway.site.catalogue)


def records(gateway: Gateway, args: Mapping[str, object]) -> tuple[AlarmRecord, ...]:
    """Return the alarms of which the caller may know, by key."""
    left_out = hidden(gateway, args)
    return tuple(record for record in gateway.pipeline.book.records() if record.rule not in left_out)


def keys(gateway: Gateway, args: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys of all alarms of which the caller may know, raised or not."""
    left_out = hidden(gateway, args)
    return tuple(key for key in gateway.pipeline.book.all_keys() if split_key(key)[2] not in left_out)

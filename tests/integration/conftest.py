"""What the integration tests share."""

import pytest

from tests.integration.callers import EDGE, OFFICE, Door


@pytest.fixture(params=[EDGE, OFFICE], ids=lambda door: door.name)
def door(request: pytest.FixtureRequest) -> Door:
    """Each of the two local doors in turn: what holds for one holds for the other."""
    found: Door = request.param
    return found

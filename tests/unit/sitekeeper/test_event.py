"""Personal identifiers are hashed with the site's salt before they get near a record."""

import pytest

from sitekeeper.model.event import pseudonym

SALT = b"sixteen bytes or more"


def test_equal_stays_equal_whatever_the_spelling() -> None:
    """The same card is the same pseudonym, whoever typed it with spaces or in small letters."""
    assert pseudonym(SALT, "plate", " ab 1234 ") == pseudonym(SALT, "plate", "AB 1234")


def test_nothing_of_the_identifier_is_left() -> None:
    """A pseudonym tells neither digits nor length of what it stands for."""
    one, other = pseudonym(SALT, "card", "405419896"), pseudonym(SALT, "card", "4" * 200)
    assert len(one) == len(other) == len("h1:") + 24
    assert "405419896" not in one


def test_site_and_kind_keep_apart_what_is_spelt_alike() -> None:
    """Two sites cannot join their records by card, and a card is not a plate of the same digits."""
    known = {
        pseudonym(SALT, "card", "1234"),
        pseudonym(SALT, "plate", "1234"),
        pseudonym(b"another site's own salt", "card", "1234"),
        pseudonym(SALT, "card", "1235"),
    }
    assert len(known) == 4


def test_a_short_salt_is_refused() -> None:
    """A salt that can be tried out protects nobody."""
    with pytest.raises(ValueError, match="at least 16"):
        pseudonym(b"short", "card", "1234")

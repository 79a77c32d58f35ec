"""Words and formats that every room shares: a leaf with no socket, no database and no thread."""

__version__ = "0.2.0"

"""Protocols: everything that knows how a field device talks, and nothing that knows what the values mean."""

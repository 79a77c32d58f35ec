"""Simulated equipment on real protocols, and the journal of what it truly said. Nothing in production imports this."""

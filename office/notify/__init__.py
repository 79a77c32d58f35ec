"""From a committed transition to a person: decide (pure), compose (pure), send, and a row for every attempt."""

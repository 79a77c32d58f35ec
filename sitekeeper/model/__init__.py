"""The nouns of the house: point, quality, sample, event, asset, alarm, command, clock, errors."""

"""Whose turn it is on a link: one request at a time, for groups that are due and devices that may not answer. Pure.

`scheduler` decides; `lane` keeps the pace of groups whose devices answer, `doubts` knows when the others are tried,
`back_off` how long to wait, `usage` what the link's time went to; `urgent` tells which groups go first.
"""

from edge.bus.back_off import BackOff
from edge.bus.scheduler import Bus, Turn
from edge.bus.usage import Usage

__all__ = ["BackOff", "Bus", "Turn", "Usage"]

"""The calendar of a site: the sun, holidays and schedules, worked out from the wall time. Pure.

`sun` knows when it crosses an altitude, `holidays` which day is which, `schedules` what is on; `written` reads the
texts of a site file, and `reads` gives all of it as points of the gateway.
"""

from edge.calendar.reads import Next, Read, reads

__all__ = ["Next", "Read", "reads"]

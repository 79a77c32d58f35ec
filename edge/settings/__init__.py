"""A site folder to frozen values, or to every fault in it with file, line and column.

folder     the files, secrets filled in            models     what may stand in them
limits     how much a site may hold                written    pydantic's findings -> faults with places
classes    what a class allows to be written       guards     interlocks that guard nothing
library    classes and profiles                    devices    an entry, its profile and its link -> a draft
ranges     `for:`                                  overlap    two points at one place
assemble   drafts -> handles, groups, catalogue    rules      the seam to the rule engine
load       all of it, in order                     schema     JSON Schema of what may be written
own_devices   the gateway and its links, which nobody declares
section_calendar, section_gates, section_local, section_tables, section_tests   parts of the site file
emergency_tests   plans of tests of emergency lights, every name known
calendar_file     special days from a file
local_targets     who is told on site, every point known
"""

from edge.settings.load import load
from edge.settings.values import Device, Link, OfficeSettings, OutboxSettings, Site

__all__ = ["Device", "Link", "OfficeSettings", "OutboxSettings", "Site", "load"]

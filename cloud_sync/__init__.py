"""Both ends of the way between a site and its office, and the office's store."""

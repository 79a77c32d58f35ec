"""The one guarded way in: whoever wants something of a site, at its terminal or from the office, comes through here."""

"""Bridges: what was learned, in the formats of other programs."""

"""Optimisers as pure functions from values to values."""

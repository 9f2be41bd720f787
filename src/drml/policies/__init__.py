"""Policies, which turn parameters and observations into action distributions."""

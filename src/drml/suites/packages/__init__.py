"""Families made of other people's packages, which are imported when an environment is built and not before."""

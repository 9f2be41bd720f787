"""Families of tasks to meet, and their registry."""

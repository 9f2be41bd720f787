"""Environments that others wrote, each a family of tasks in a few lines."""

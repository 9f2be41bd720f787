"""Environments in processes of their own, one per task, that are cut off where they hang or die."""

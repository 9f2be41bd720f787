"""Simulated robots on `mujoco.batch.Batch`: all K x B simulations in one object, stepped by its own threads."""

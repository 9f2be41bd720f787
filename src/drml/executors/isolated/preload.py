"""Imports that the fork server makes once, so that tasks' processes need not: slow ones, which start no threads."""

import importlib
from contextlib import suppress

for module in ("drml.executors.isolated.worker", "drml.suites.registry", "drml.envs.foreign.imported"):
    with suppress(ImportError):  # Gymnasium is optional
        importlib.import_module(module)

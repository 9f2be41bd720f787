"""What the fork server imports once, so that the processes of tasks need not: it is slow, and starts no threads."""

import importlib
from contextlib import suppress

for module in ("drml.executors.isolated.worker", "drml.suites.registry", "drml.envs.foreign.imported"):
    with suppress(ImportError):  # Gymnasium is optional
        importlib.import_module(module)

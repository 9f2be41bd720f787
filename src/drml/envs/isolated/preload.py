"""What the fork server imports once, so that the processes of tasks need not: it is slow, and starts no threads."""

import importlib
from contextlib import suppress

for module in ("drml.envs.isolated.worker", "drml.envs.registry", "drml.envs.gymnasium.imported"):
    with suppress(ImportError):  # Gymnasium is optional
        importlib.import_module(module)

"""Makes the environments that the tests of this folder share, `counters`, importable by name.

And imports Box2D once before warnings are errors: its SWIG layer warns while it loads, and crashes if that raises.
"""

import contextlib
import importlib
import sys
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
with warnings.catch_warnings(), contextlib.suppress(ImportError):
    warnings.simplefilter("ignore")
    importlib.import_module("Box2D")

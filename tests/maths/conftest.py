"""Makes the two modules that the tests of this folder share, `oracle` and `numeric`, importable by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

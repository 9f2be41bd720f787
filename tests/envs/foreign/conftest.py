"""Makes the environments that the tests of this folder share, `counters`, importable by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

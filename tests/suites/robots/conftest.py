"""Makes the module that the tests of robots share, `robots`, importable by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "envs/mujoco"))

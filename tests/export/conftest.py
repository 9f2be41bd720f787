"""Keras on torch, before anything here imports it; and what the tests of this folder share, importable by name."""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
sys.path.append(str(Path(__file__).parent))

"""Imports Box2D once before warnings are errors: its SWIG layer warns while it loads, and crashes if that raises."""

import contextlib
import importlib
import warnings

with warnings.catch_warnings(), contextlib.suppress(ImportError):
    warnings.simplefilter("ignore")
    importlib.import_module("Box2D")

"""Box2D, imported once before warnings are errors: its SWIG layer warns while it loads, and crashes if that raises."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import Box2D  # noqa: F401 — pyright: ignore
    except ImportError:
        pass

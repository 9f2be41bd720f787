"""The exporters' own chatter, which says nothing to a user: of packages that are not needed, and of torch's inside."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def quietly() -> Generator[None]:
    """Hold back torch's warnings and log lines while it turns a module into a graph."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

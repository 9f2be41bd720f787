"""Keras on torch, before anything here imports it."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

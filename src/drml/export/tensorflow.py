"""From a `.keras` file to TensorFlow: a SavedModel and a TFLite model, made in a process of its own.

Keras has one backend per process, and that of meta-learning is torch. The process needs TensorFlow and Keras and no
torch, so it may be that of another environment too:

    python -m drml.export.tensorflow agent.keras --savedmodel saved --tflite agent.tflite
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drml.core.errors import DrmlError, EnvError, InputError

MODULE = "drml.export.tensorflow"
FLAGS = ("--savedmodel", "--tflite")


def check_can_write() -> None:
    """Check, before any work is done, that TensorFlow is installed.

    Raises:
        InputError: names what is missing, and the way to get it.
    """
    from importlib.util import find_spec

    if find_spec("tensorflow") is None:
        raise InputError(
            "SavedModel and TFLite need TensorFlow: pip install 'drml[tensorflow]', in an environment of its own; "
            f"or export --to keras here, and there: python -m {MODULE} FILE.keras --savedmodel DIR --tflite FILE"
        )


def to_tensorflow(model: Path, savedmodel: Path | None = None, tflite: Path | None = None) -> None:
    """Write what a `.keras` file holds as a SavedModel and as a TFLite model.

    Args:
        model: the `.keras` file.
        savedmodel: a directory for the SavedModel; None makes none.
        tflite: a file for the TFLite model; None makes none.

    Raises:
        InputError: if TensorFlow is not installed.
        EnvError: if TensorFlow fails.
    """
    check_can_write()
    wanted = zip(FLAGS, (savedmodel, tflite), strict=True)
    words = [word for flag, path in wanted if path is not None for word in (flag, str(path))]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", MODULE, str(model), *words]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        line = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EnvError(f"TensorFlow could not write {model} in its own forms: {line}")


def main(words: Sequence[str]) -> int:
    """Write the forms that a command line asks for; the process's side of `to_tensorflow`."""
    try:
        model, paths = _read(words)
        check_can_write()
        _write(model, paths)
    except DrmlError as error:
        print(f"{MODULE}: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _read(words: Sequence[str]) -> tuple[Path, dict[str, Path]]:
    usage = f"usage: python -m {MODULE} FILE.keras [--savedmodel DIR] [--tflite FILE]"
    if len(words) % 2 == 0 or not set(words[1::2]) <= set(FLAGS):
        raise InputError(usage)
    model = Path(words[0])
    if not model.is_file():
        raise InputError(f"there is no file {model}; {usage}")
    return model, {flag: Path(value) for flag, value in zip(words[1::2], words[2::2], strict=True)}


def _write(model: Path, paths: dict[str, Path]) -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tempfile

    import keras

    loaded: Any = keras.saving.load_model(model)
    with tempfile.TemporaryDirectory() as place:
        saved = paths.get("--savedmodel", Path(place) / "saved")
        loaded.export(str(saved), verbose=False)
        if "--tflite" in paths:
            paths["--tflite"].write_bytes(_tflite(saved))


def _tflite(saved: Path) -> bytes:
    tf: Any = importlib.import_module("tensorflow")  # which is not there where types are checked
    return tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

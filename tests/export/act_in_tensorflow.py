"""A process with TensorFlow that acts in worlds written by the test: python act_in_tensorflow.py FOLDER COUNT."""

import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from learned_examples_feed import by_graph

warnings.simplefilter("ignore")


def worlds(file):
    with np.load(file) as held:
        steps = 1 + max(int(key.split("/")[0]) for key in held.files)
        names = {key.split("/")[1] for key in held.files}
        return [{name: held[f"{t}/{name}"] for name in names} for t in range(steps)]


def tflite_caller(content):
    runner = tf.lite.Interpreter(model_content=content).get_signature_runner()
    return lambda inputs: runner(**inputs)


def main(folder, count):
    for number in range(count):
        model, world = keras.saving.load_model(folder / f"{number}.keras"), worlds(folder / f"{number}.npz")
        inputs = {name: (tuple(value.shape[1:]), value.dtype) for name, value in model.input.items()}
        model.export(str(folder / f"{number}.saved"), verbose=False)
        saved = tf.saved_model.load(str(folder / f"{number}.saved"))
        lite = tf.lite.TFLiteConverter.from_saved_model(str(folder / f"{number}.saved")).convert()
        calls = {
            "keras": lambda given, model=model: model(given, training=False),
            "savedmodel": lambda given, saved=saved: saved.serve(given),
            "tflite": tflite_caller(lite),
        }
        for form, call in calls.items():
            found = by_graph(call, world, inputs)
            flat = {f"{t}/{name}": value for t, step in enumerate(found) for name, value in step.items()}
            np.savez(folder / f"{number}.{form}.npz", **flat)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""Environments that start a process of their own, and leave its id, and theirs, in a file that the tests name."""

import os
import subprocess
import time
from typing import Any

from planted_faults import Sound


class StartsAProcess(Sound):
    def __init__(self) -> None:
        child = subprocess.Popen(["sleep", "600"])
        with open(os.environ["DRML_TEST_IDS"], "a", encoding="utf-8") as file:
            file.write(f"{child.pid} {os.getpid()}\n")


class StartsAProcessAndHangs(StartsAProcess):
    def step(self, action: Any) -> Any:
        time.sleep(600.0)
        return super().step(action)

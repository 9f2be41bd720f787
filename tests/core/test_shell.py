import os
import shutil
import subprocess

import pytest

from drml.core.shell import as_word

NAMES = [
    "run",
    "-weird",
    "--out",
    "a b",
    " a  b ",
    "it's",
    'a"b',
    "$HOME",
    "a;b",
    "*",
    "~",
    "#",
    "a\nb",
    "ü",
    "\\",
    "\t",
]


@pytest.mark.parametrize("name", [*NAMES, "\x1b[31m", os.fsdecode(b"\xff")], ids=repr)
def test_a_shell_reads_the_very_path_and_a_message_keeps_it(name: str):
    bash = shutil.which("bash")
    assert bash
    word = as_word(f"x/{name}")
    assert word.isprintable() and word == " ".join(word.split()) and word[0] != "-"
    said = subprocess.run([bash, "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert said == os.fsencode(f"x/{name}")


def test_what_looks_like_a_flag_is_a_path():
    assert [as_word(name) for name in ("-weird", "--", "runs/-x", "plain")] == ["./-weird", "./--", "runs/-x", "plain"]
    assert as_word("-it's") == """'./-it'"'"'s'"""

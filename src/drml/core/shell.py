"""Words of commands that are shown to be typed."""

import os
import shlex


def as_word(path: object) -> str:
    """Return a path as a word to type: never like a flag, quoted where a shell or a message would change it."""
    text = str(path)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable() and text == " ".join(text.split()):
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    """Return a character as it is written within $'…', which bash and zsh read."""
    if character.isprintable() and character not in " '\\":
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))

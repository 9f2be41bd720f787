"""Optional packages: whether they are there is asked before any work is done, and importing none of them."""

import importlib.util

from drml.core.errors import InputError


def check_extra(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        what: needs them, as the complaint begins.
        extra: its name.
        packages: as they are imported.

    Raises:
        InputError: names the first one that is missing, and the way to get it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(f'{what} needs {package}: pip install "drml[{extra}]"')

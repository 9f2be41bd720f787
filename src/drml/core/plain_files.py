"""Plain files: what a program reads and writes by name may meanwhile be a link, a pipe or a device.

A link is written through to whatever it points to, and a pipe that nobody writes to is waited for without end. So
where a file is the program's own, such as those of a run, nothing else is opened.
"""

import errno
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
}


def kind_of(path: Path) -> str:
    """Return what lies at a path, such as `a file` or `a link`, unopened and unfollowed; '' where there is nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "no file")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def open_plain(path: Path, flags: int) -> int:
    """Return the handle of a plain file, opened with the flags of `os.open`.

    Raises:
        OSError: if it is a link, a pipe, a device or a directory, or the system refuses.
    """
    if (found := kind_of(path)) not in ("", "a file"):
        raise _not_plain(path, found)
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # exchanged since
        os.close(handle)
        raise _not_plain(path, "no file")
    return handle


def read_plain(path: Path) -> bytes:
    """Return the content of a plain file.

    Raises:
        OSError: if it is something else, or cannot be read.
    """
    with open(open_plain(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _not_plain(path: Path, found: str) -> OSError:
    return OSError(errno.EINVAL, f"it is {found}, expected a plain file", str(path))

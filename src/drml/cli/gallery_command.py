"""`drml gallery`: every family of tasks, with a picture and its exact definition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from drml.cli.parse import parse
from drml.cli.report_command import check_installed
from drml.cli.terminal import say


@dataclass(frozen=True)
class GalleryArgs:
    """Write the gallery: a page of Markdown, and its pictures in a folder beside it."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("gallery.md")
    """The page."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(GalleryArgs, "drml gallery", words)
    check_installed()
    from drml.report.gallery import write_gallery

    say(str(write_gallery(args.out)))
    return 0

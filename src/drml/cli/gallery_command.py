"""`drml gallery`: every family of tasks, with a picture and its exact definition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from drml.cli.parse import parse
from drml.cli.terminal import say
from drml.core.errors import InputError
from drml.use.pages import check_can_draw


@dataclass(frozen=True)
class GalleryArgs:
    """Write the gallery: a page of Markdown, and its pictures in a folder beside it."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("gallery.md")
    """The page."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(GalleryArgs, "drml gallery", words)
    _check_page(args.out)
    check_can_draw()
    from drml.report.gallery import write_gallery

    say(str(write_gallery(args.out)))
    return 0


def _check_page(page: Path) -> None:
    """Refuse, before half a minute of drawing, a page that cannot be written where it is to go."""
    if page.suffix == "" or page.is_dir():
        raise InputError(f"--out {page} must name a file, such as {page.name}.md; its pictures go beside it")
    for folder in (page.with_suffix(""), *page.parents):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {page}: {folder} is a file, and a directory is needed there; name another page")

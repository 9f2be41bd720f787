"""Parts that sections of a page are made of: their frame, what is absent, a figure with its key."""

from collections.abc import Iterable

from drml.report.figures import Drawing


def section(title: str, lead: str, body: str) -> str:
    """Return a section of the page."""
    words = f'<p class="lead">{lead}</p>' if lead else ""
    return f"<section><h2>{title}</h2>{words}\n{body}</section>"


def absent(line: str) -> str:
    """Return a line about what a run lacks."""
    return f'<p class="absent">{line}</p>'


def plotted(drawing: Drawing, title: str, key: Iterable[tuple[str, str]], words_below: str = "") -> str:
    """Return a figure with the key of its colours, for wide and narrow screens."""
    legend = "".join(f'<span class="{kind}">{words}</span>' for kind, words in key)
    caption = f'<figcaption class="key">{legend}</figcaption>' if legend else ""
    below = f'<p class="below">{words_below}</p>' if words_below else ""
    return (
        f'<figure class="plot card" role="img" aria-label="{title}">{caption}'
        f'<div class="wide">{drawing.wide}</div><div class="narrow">{drawing.narrow}</div>{below}</figure>'
    )

"""Tables of stored results in Markdown, and the page that holds them between markers."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drml.core.errors import InputError
from drml.loop.stats import estimand
from drml.recipes.catalog import RECIPES
from drml.recipes.judge import SUCCESS
from drml.recipes.reproduce import stored_result
from drml.run.durable import replace_file

Result = Mapping[str, Any]
WORDS = {True: "reached", False: "not reached", None: "not decided"}


def write_tables(page: Path) -> None:
    """Write the tables of stored results into a page, between `<!-- results: NAME -->` and `<!-- end -->`.

    Raises:
        InputError: if the page cannot be read or lacks such lines.
        ResourceError: if it cannot be written.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{page} cannot be read: {error}") from error
    replace_file(page, with_tables(text, str(page)).encode())


def with_tables(text: str, where: str) -> str:
    """Return a page with its tables made anew.

    Raises:
        InputError: if it has no such lines for one of them; `where` names the page.
    """
    for name, (prefix, table) in TABLES.items():
        stored = [result for recipe in RECIPES if _is_in(recipe, prefix) and (result := stored_result(recipe))]
        block = re.compile(rf"(<!-- results: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not block.search(text):
            raise InputError(f"{where} has no lines '<!-- results: {name} -->' and '<!-- end -->' to write between")
        rows = table(stored)
        text = block.sub(rf"\g<1>\n{rows}\n\n\g<2>", text)
    return text


def _is_in(recipe: str, prefix: str) -> bool:
    return recipe.startswith(prefix) if prefix else not recipe.startswith(("rl2-", "short-"))


def compared(results: Sequence[Result]) -> str:
    """Return the table of results that are held against published numbers, shares of an optimum, or others' returns."""
    said = any(SUCCESS[0] in result for result in results)
    success = ("success at any step ± 95 %",) if said else ()
    head = ("recipe", "seeds", "env steps per seed", "mean return ± 95 %", *success, "interval", "held against", "")
    return _table(head, [_compared(result, said) for result in results])


def _compared(result: Result, said: bool) -> Sequence[str]:
    has_trial, gain = result["trial_return"] is not None, result["gain"]
    points = [result["trial_return"]] if has_trial else list(result["return_by_step"])
    means = ", ".join(map(interval, points))
    if gain and gain["above"] is not None:
        points.append(gain)
        means += f"; gain {interval(gain)}"
    return (
        result["recipe"],
        str(len(result["seeds"])),
        _millions(result),
        means,
        *((_shares(result),) if said else ()),
        _over(points[0]),
        "; ".join(_bars(points, result["references"])),
        _verdict(points),
    )


def _shares(result: Result) -> str:
    """Return the shares of episodes with success; nothing where the environments do not say what one is."""
    return ", ".join(map(interval, result.get(SUCCESS[0], ())))


def gains(results: Sequence[Result]) -> str:
    """Return the table of what one adaptation step gains."""
    head = ("family", "env steps", "before", "after", "gain ± 95 %", "interval", "gain above 0")
    rows = [
        (
            result["config"]["suite"],
            _millions(result),
            *(number(point["mean"], None) for point in result["return_by_step"]),
            interval(result["gain"]),
            _over(result["gain"]),
            WORDS[result["gain"]["reached"]],
        )
        for result in results
    ]
    return _table(head, rows)


TABLES: dict[str, tuple[str, Callable[[Sequence[Result]], str]]] = {
    "gradient learners": ("", compared),
    "memories": ("rl2-", compared),
    "short runs": ("short-", gains),
}
"""The tables by name: what their recipes' names begin with, and what makes them."""


def interval(point: Mapping[str, Any]) -> str:
    """Return a mean with its interval, both to the interval's second digit; without one where there is none."""
    width = point["mean_half_width_95"]
    mean = number(point["mean"], width)
    if width is not None:
        return f"{mean} ± {number(width, width)}"
    return f"{mean} (all equal)" if point["over"] == "seeds" else mean


def number(value: float, width: float | None) -> str:
    """Return a number to the second digit of its interval's half width; without one to about four digits of its own."""
    scale = max(abs(value), 1.0) / 100.0 if width is None else width
    decimals = max(0, 1 - int(f"{scale:.1e}".partition("e")[2]))
    return f"{value:.{decimals}f}".replace("-", "−")


def _over(point: Mapping[str, Any]) -> str:
    has_interval = point["mean_half_width_95"] is not None or point["over"] == "seeds"
    return estimand(point["over"], point["count"]) if has_interval else "one seed, no interval"


def _millions(result: Result) -> str:
    return f"{max(result['env_steps']) / 1e6:.3g} M"


def _bars(points: Sequence[Mapping[str, Any]], references: Mapping[str, float]) -> list[str]:
    said = [
        f"{word} {', '.join(f'{value:.4g}'.replace('-', '−') for value in values)}"
        for word, bar in (("published", "published"), ("at least", "at_least"), ("gain above", "above"))
        if (values := [point[bar] for point in points if point[bar] is not None])
    ]
    beside = ", ".join(f"{name} {value:g}" for name, value in references.items())
    return [*said, beside] if beside else said


def _verdict(points: Sequence[Mapping[str, Any]]) -> str:
    held = [point for point in points if any(point[bar] is not None for bar in ("published", "at_least", "above"))]
    words = [WORDS[point["reached"]] for point in held]
    return words[0] if len(set(words)) == 1 else ", ".join(words)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

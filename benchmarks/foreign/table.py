"""The table of docs/environments.md: families as they are defined, beside the stored outcomes of the commands."""

from collections.abc import Iterable, Mapping
from typing import Any

from foreign.package import Package

LEARNERS = ("maml", "rl2")
COMMANDS = ("train", "test", "report", "adapt", "export")
VERBS = {"fault": "finds", "warning": "warns"}
HEAD = ("family", "package", "environment", "what varies", "it needed", "check", *COMMANDS)


def table(families: Iterable[str], packages: Mapping[str, Package], outcomes: Mapping[str, Any]) -> str:
    """Return the rows of those families that were tried, in this order."""
    rows = [HEAD, ("---",) * len(HEAD)]
    rows += [(f"`{name}`", *_row(packages[name], outcomes[name])) for name in families if name in outcomes]
    return "\n".join("|" + "|".join(_padded(cell) for cell in row) + "|" for row in rows)


def brief(outcome: Mapping[str, Any]) -> str:
    """Return the exit codes of one family in a line."""
    return ", ".join([f"check {_checked(outcome['check'])}", *(f"{name} {_codes(outcome, name)}" for name in COMMANDS)])


def _row(package: Package, outcome: Mapping[str, Any]) -> tuple[str, ...]:
    tried = f"{outcome['package']} {outcome['version']}"
    codes = [_codes(outcome, name) for name in COMMANDS]
    return (tried, package.environment, package.varies, package.needed, _checked(outcome["check"]), *codes)


def _codes(outcome: Mapping[str, Any], command: str) -> str:
    """Return the exit codes of one command, of MAML's run and of RL²'s."""
    return ", ".join(str(outcome[learner][command]["exit_code"]) for learner in LEARNERS)


def _checked(check: Mapping[str, Any]) -> str:
    """Return the verdict of `drml check`: ok, or its exit code, and what it warns of or finds."""
    named: dict[str, list[str]] = {"fault": [], "warning": []}
    for finding in check.get("findings", {}).get("findings", []):
        if finding["verdict"] in named:
            named[finding["verdict"]].append(finding["check"])
    parts = ["ok" if check["exit_code"] == 0 else f"exit code {check['exit_code']}"]
    parts += [f"{verb}: {', '.join(named[verdict])}" for verdict, verb in VERBS.items() if named[verdict]]
    return "; ".join(parts)


def _padded(cell: str) -> str:
    return cell if cell == "---" else f" {cell} "

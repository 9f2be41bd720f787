"""Classes that stand in for others: to be told of what is made of them, or to answer some calls in their place."""

from collections.abc import Callable
from typing import Any


class StandIn(type):
    """The kind of class whose instances are those of another class, as `isinstance` sees them as well.

    A class that the user derives from a stand-in is an ordinary one.
    """

    made: Callable[..., Any]
    stands_for: type

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 — an instance of the other class
        """Make an instance of the other class."""
        return cls.made(*args, **kwargs) if "made" in vars(cls) else super().__call__(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        """Return whether this is an instance of the other class."""
        return isinstance(instance, cls.stands_for) if "made" in vars(cls) else super().__instancecheck__(instance)

    def __subclasscheck__(cls, kind: type) -> bool:
        """Return whether a class is derived from the other one."""
        return issubclass(kind, cls.stands_for) if "made" in vars(cls) else super().__subclasscheck__(kind)


def stand_in(kind: Any, made: Callable[..., Any], **replaced: Callable[..., Any]) -> type:  # noqa: ANN401 — a class
    """Return a class that stands in for another one.

    Args:
        kind: the other one.
        made: is called in its place, and returns an instance of it.
        replaced: what is called in place of its methods that need no instance.
    """
    methods = {name: staticmethod(function) for name, function in replaced.items()}
    entries = {"made": staticmethod(made), "stands_for": kind, "__module__": kind.__module__, **methods}
    try:
        return StandIn(kind.__name__, (kind,), entries)
    except TypeError:  # nothing can be derived from it
        return StandIn(kind.__name__, (), entries)

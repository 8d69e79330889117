"""A pair: one value for each of the two domains. Each formula is written once for both."""

from collections.abc import Callable, Collection
from typing import Any, Generic, Literal, NamedTuple, TypeVar

Direction = Literal["a2b", "b2a"]
DomainName = Literal["a", "b"]
REVERSE: dict[Direction, Direction] = {"a2b": "b2a", "b2a": "a2b"}
INTO: dict[DomainName, Direction] = {"a": "b2a", "b": "a2b"}
"""The direction that translates into a domain."""

T = TypeVar("T")
U = TypeVar("U")


class Pair(NamedTuple, Generic[T]):
    """A value for domain A and a value for domain B.

    A named tuple, so that distributed wrappers and compilers see the tensors inside.
    """

    a: T
    b: T

    def map(self, function: Callable[..., U], *others: "Pair[Any]") -> "Pair[U]":
        """Applies ``function`` in each domain, to the members of this pair and of ``others``."""
        return Pair(
            function(self.a, *(other.a for other in others)),
            function(self.b, *(other.b for other in others)),
        )

    def along(self, direction: Direction) -> "tuple[T, T]":
        """The two members as (source, target) of ``direction``."""
        return (self.a, self.b) if direction == "a2b" else (self.b, self.a)

    @property
    def swapped(self) -> "Pair[T]":
        """The pair with A and B exchanged."""
        return Pair(self.b, self.a)


UNNAMED = Pair("A", "B")
"""The names of domains whose folders are called trainA and trainB."""


def title_of(names: Pair[str], directions: Collection[str], run: str) -> str:
    """The names of the domains, with an arrow for the directions. Before names that say nothing, that of the run."""
    source, target = names.along("b2a" if "a2b" not in directions else "a2b")
    arrow = "⇄" if len(directions) == 2 else "→"
    return f"{run}: {source} {arrow} {target}" if names == UNNAMED and run else f"{source} {arrow} {target}"

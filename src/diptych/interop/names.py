"""What the name of an original file says of the network inside."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from diptych.config import Direction
from diptych.model import DiscriminatorRole

AUTHORS = re.compile(r"(?:^|.*_)net_(G|D)(_A|_B)?\.pth")
BLOG = re.compile(r"(?:G__(AB|BA)|D__(A|B))_.*\.pth")


@dataclass(frozen=True)
class Role:
    """What a network does: a generator has a direction, a discriminator what it judges."""

    direction: Direction | None = None
    judges: DiscriminatorRole | None = None

    def __str__(self) -> str:
        if self.direction:
            return "generator A → B" if self.direction == "a2b" else "generator B → A"
        return {"a": "discriminator of A", "b": "discriminator of B", "joint": "discriminator of A beside B"}[
            self.judges or "joint"
        ]


A2B, B2A = Role(direction="a2b"), Role(direction="b2a")
JUDGES_A, JUDGES_B, JUDGES_BOTH = Role(judges="a"), Role(judges="b"), Role(judges="joint")

# The authors name a discriminator by the direction whose fakes it sees, so their D_A judges B; the blog version names
# it by the domain that it judges. A file without a letter is of the one direction there is; such a discriminator
# is pix2pix's, which judges both pictures at once.
AUTHORS_ROLES = {
    ("G", "_A"): A2B, ("G", "_B"): B2A,
    ("D", "_A"): JUDGES_B, ("D", "_B"): JUDGES_A, ("D", None): JUDGES_BOTH,
}  # fmt: skip
BLOG_ROLES = {("AB", None): A2B, ("BA", None): B2A, (None, "A"): JUDGES_A, (None, "B"): JUDGES_B}


def role_of(name: str, lone: Role = A2B) -> Role | None:
    """The role that the file ``name`` (without its folder) says; none where it says nothing. A generator without a
    letter is the ``lone`` one.

    ``<epoch>_net_G_A.pth``, ``_G_B``, ``_D_A``, ``_D_B``, ``_G`` and ``_D`` are the authors' names, ``G__AB_<n>.pth``,
    ``G__BA_``, ``D__A_`` and ``D__B_`` those of the blog version.
    """
    if match := AUTHORS.fullmatch(name):
        return lone if match.groups() == ("G", None) else AUTHORS_ROLES[match[1], match[2]]
    if match := BLOG.fullmatch(name):
        return BLOG_ROLES[match[1], match[2]]
    return None


def authors_names(roles: Collection[Role]) -> dict[Role, str]:
    """The names that the authors' code loads a model of these ``roles`` by."""
    if JUDGES_BOTH in roles or set(roles) == {A2B}:
        return {role: f"latest_net_{'G' if role.direction else 'D'}.pth" for role in roles}
    letters = {A2B: "G_A", B2A: "G_B", JUDGES_B: "D_A", JUDGES_A: "D_B"}
    return {role: f"latest_net_{letters[role]}.pth" for role in roles}

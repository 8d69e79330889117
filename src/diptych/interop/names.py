"""What the name of an original file says of the network inside."""

import re
from dataclasses import dataclass

from diptych.config import Direction
from diptych.model import Domain

AUTHORS = re.compile(r"(?:^|.*_)net_(G|D)(_A|_B)?\.pth")
BLOG = re.compile(r"(?:G__(AB|BA)|D__(A|B))_.*\.pth")


@dataclass(frozen=True)
class Role:
    """What a network does: a generator has a direction, a discriminator a domain that it judges."""

    direction: Direction | None = None
    judges: Domain | None = None

    def __str__(self) -> str:
        if self.direction:
            return "generator A → B" if self.direction == "a2b" else "generator B → A"
        return f"discriminator of {'A' if self.judges == 'a' else 'B'}"


A2B, B2A = Role(direction="a2b"), Role(direction="b2a")
JUDGES_A, JUDGES_B = Role(judges="a"), Role(judges="b")

# The authors name a discriminator by the direction whose fakes it sees, so their D_A judges B; the blog version names
# it by the domain that it judges. A file without a letter is of the one direction there is, A → B.
AUTHORS_ROLES = {
    ("G", "_A"): A2B, ("G", "_B"): B2A, ("G", None): A2B,
    ("D", "_A"): JUDGES_B, ("D", "_B"): JUDGES_A, ("D", None): JUDGES_B,
}  # fmt: skip
BLOG_ROLES = {("AB", None): A2B, ("BA", None): B2A, (None, "A"): JUDGES_A, (None, "B"): JUDGES_B}


def role_of(name: str) -> Role | None:
    """The role that the file ``name`` (without its folder) says; none where it says nothing.

    ``<epoch>_net_G_A.pth``, ``_G_B``, ``_D_A``, ``_D_B``, ``_G`` and ``_D`` are the authors' names, ``G__AB_<n>.pth``,
    ``G__BA_``, ``D__A_`` and ``D__B_`` those of the blog version.
    """
    if match := AUTHORS.fullmatch(name):
        return AUTHORS_ROLES[match[1], match[2]]
    if match := BLOG.fullmatch(name):
        return BLOG_ROLES[match[1], match[2]]
    return None


def authors_name(role: Role, *, alone: bool) -> str:
    """The name that the authors' code loads a network of ``role`` by; ``alone``: there is only the direction A → B."""
    letters = {A2B: "G", B2A: "G", JUDGES_A: "D", JUDGES_B: "D"}
    direction = {A2B: "_A", B2A: "_B", JUDGES_B: "_A", JUDGES_A: "_B"}
    return f"latest_net_{letters[role]}{'' if alone else direction[role]}.pth"

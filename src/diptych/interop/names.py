"""The role of a network in the original code, by the name of its file."""

import re
from collections.abc import Collection

from diptych.config import Direction
from diptych.model import DiscriminatorRole

Role = Direction | DiscriminatorRole
"""A generator's direction, or a discriminator's input."""

DESCRIPTIONS: dict[Role, str] = {
    "a2b": "generator A → B",
    "b2a": "generator B → A",
    "a": "discriminator of A",
    "b": "discriminator of B",
    "joint": "joint discriminator of A and B",
}
FILE_NAME = re.compile(r"(?:.*_)?net_([GD](?:_[AB])?)\.pth|([GD]__[AB]+)_.*\.pth")
# The authors name a discriminator by the direction whose fakes it sees, so their D_A sees images of B. A variant of
# their code, with files like G__AB_200.pth, names it by the domain of its input. A file without a letter belongs to a
# model of one direction; such a discriminator is pix2pix's, whose input is both images.
ROLES: dict[str, Role] = {
    "G_A": "a2b", "G_B": "b2a", "D_A": "b", "D_B": "a", "D": "joint",
    "G__AB": "a2b", "G__BA": "b2a", "D__A": "a", "D__B": "b",
}  # fmt: skip


def role_of(name: str, single: Direction = "a2b") -> Role | None:
    """The role of the network in the file ``name``; None if the name does not say. A generator without a letter has
    the direction ``single``.

    ``<epoch>_net_G_A.pth``, ``_G_B``, ``_D_A``, ``_D_B``, ``_G`` and ``_D`` are the authors' names, ``G__AB_<n>.pth``,
    ``G__BA_``, ``D__A_`` and ``D__B_`` those of a variant of their code.
    """
    match = FILE_NAME.fullmatch(name)
    key = (match[1] or match[2]) if match else ""
    return single if key == "G" else ROLES.get(key)


def authors_names(roles: Collection[Role]) -> dict[Role, str]:
    """The file names that the authors' code expects for a model of these ``roles``."""
    if "joint" in roles or set(roles) == {"a2b"}:
        return {role: f"latest_net_{'G' if role in ('a2b', 'b2a') else 'D'}.pth" for role in roles}
    letters = {"a2b": "G_A", "b2a": "G_B", "b": "D_A", "a": "D_B"}
    return {role: f"latest_net_{letters[role]}.pth" for role in roles}

"""``hf:OWNER/NAME`` in place of a path: a model on the Hugging Face Hub, which is downloaded once."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diptych.errors import MissingExtraError, UserError, first_line

PREFIX = "hf:"
NAME = re.compile(r"[\w.-]+/[\w.-]+")
FILES = ("model.safetensors", "facts.json", "README.md", "examples/*.png")
"""What is downloaded of a model."""
LOG_IN = "log in with hf auth login, or set HF_TOKEN"


class HubError(UserError):
    """The Hub does not have what is asked for, does not allow it, or does not answer."""


def local(path: Path) -> Path:
    """``path`` itself; for ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``, the folder with the downloaded model.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        HubError: it cannot be downloaded.
    """
    text = str(path)
    if not text.startswith(PREFIX):
        return path
    name, _, revision = text.removeprefix(PREFIX).partition("@")
    return Path(download(name, revision=revision or None))


def download(name: str, *, revision: str | None = None, folder: Path | None = None) -> str:
    """Downloads the model ``name`` into the Hub's cache, or into ``folder``. Returns where it is. Files that are there
    are not downloaded again, and a download that was cut off continues. Raises as ``local``."""
    api = hub_api(name)
    with hub_errors(name):
        where: str = api.snapshot_download(name, revision=revision, local_dir=folder, allow_patterns=[*FILES])
    return where


def hub_api(name: str) -> Any:
    """huggingface_hub's client for the Hub, or for ``HF_ENDPOINT``.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        HubError: ``name`` is not OWNER/NAME.
    """
    if not NAME.fullmatch(name):
        raise HubError(f"{name!r} is no name on the Hub", cure="give OWNER/NAME")
    if find_spec("huggingface_hub") is None:
        raise MissingExtraError("the Hugging Face Hub", "hub")
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="diptych")


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Context manager: converts errors of the Hub and its client to ``HubError``. An ``OSError`` about a file stays."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.GatedRepoError, errors.RepositoryNotFoundError):
        problem = f"{name} is not on the Hub, or you may not read it"
        raise HubError(problem, cure=f"check its spelling; if it is private, {LOG_IN}") from None
    except errors.RevisionNotFoundError:
        raise HubError(
            f"{name} has no such revision", cure="give another revision after the @, or leave @ out"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise HubError(f"{name} is not downloaded yet, and the Hub does not answer", cure="check the network") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        cure = LOG_IN if status in (401, 403) else "try again later: what has arrived is kept"
        reason = error.server_message or first_line(error)
        raise HubError(f"the Hub refuses {name} ({reason})", cure=cure) from None
    except UserError:
        raise
    except Exception as error:  # the HTTP library's own errors, which differ between its versions
        if isinstance(error, OSError) and error.filename:
            raise
        cure = "check the network, and try again: what has arrived is kept"
        raise HubError(f"the Hub does not answer for {name} ({first_line(error)})", cure=cure) from None

"""``diptych push`` and ``diptych pull``."""

from dataclasses import dataclass
from pathlib import Path

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config.constraints import REQUIRED, argument, option
from diptych.errors import OptionError


@dataclass(frozen=True)
class Push:
    """Upload a model to the Hugging Face Hub, with a model card made from its run.

    Uploads model.safetensors, the card, the facts behind it, some held-out pictures of the run as examples, and the
    last samples, but no path of this machine. Needs the extra hub, and hf auth login once. If it is interrupted, run it
    again.

    For example:
      diptych push runs/photos2paintings me/photos2paintings --licence cc-by-4.0
      diptych push runs/photos2paintings me/photos2paintings --licence mit --space
    """

    run: Path = argument(REQUIRED, "A run, or its model.safetensors.", "MODEL")
    name: str = argument(REQUIRED, "Name on the Hub: your user name or organisation, and a name.", "OWNER/NAME")
    licence: str | None = option(
        None, "Licence of the model by the Hub's name, such as mit, cc-by-4.0 or other. Must be given."
    )
    private: bool = option(False, "Create a private repository.")
    space: bool = option(False, "Also create a Space of the same name, which shows the page of diptych serve.")
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        from diptych.hub.push import push

        if self.trust_code:
            trust_files(self.run)
        report = stderr_console().print
        print(push(self.run, self.name, licence=self.licence, private=self.private, space=self.space, report=report))
        return 0


@dataclass(frozen=True)
class Pull:
    """Download a model from the Hugging Face Hub into a folder.

    Commands also take hf:OWNER/NAME in place of a model, and keep it in the Hub's cache. Needs the extra hub.
    If it is interrupted, run it again.

    For example:
      diptych pull someone/photos2paintings
      diptych translate photos2paintings holiday.jpg painted.jpg
    """

    name: str = argument(REQUIRED, "Name on the Hub.", "OWNER/NAME")
    folder: Path | None = argument(None, "Folder to write. By default NAME.", "[DIR]")

    def __call__(self) -> int:
        from diptych.remote import PREFIX, download

        name, _, revision = self.name.removeprefix(PREFIX).partition("@")
        folder = self.folder or Path(name.rpartition("/")[2])
        if (folder / "config.json").exists():
            raise OptionError(f"{folder} is a run, whose model would be replaced", cure="give another DIR")
        print(download(name, revision=revision or None, folder=folder))
        return 0

"""The model card: README.md for the Hub, made of the facts about a model."""

import re

from diptych.errors import OptionError
from diptych.hub import words
from diptych.hub.facts import Facts

LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
CARD = """---
license: {licence}
library_name: diptych
pipeline_tag: image-to-image
tags:
- image-to-image
- {method}
- diptych
---

# {title}

A model of diptych that translates pictures: {ways}.
{samples}
## Use

```
pip install 'diptych[hub]'
diptych translate hf:{name} INPUT OUTPUT
```

```python
from PIL import Image
from diptych import Translator

translate = Translator.load("hf:{name}")
translate(Image.open("input.jpg")).save("output.jpg")
```

`diptych serve hf:{name}` opens a web page for it. INPUT is a picture or a folder.

## Intended use

The model changes how pictures look, for pictures like those that it was trained on. It may add things to a picture and
remove things from it. Do not use its output as evidence, for a diagnosis, or to deceive. Look at the alarms and the
scores below before you rely on it.

## Alarms

{alarms}

## Scores

{scores}

## Data

{data}

## Method

{how}

## Licence

{licence}
"""


def model_card(facts: Facts, name: str, *, has_samples: bool) -> str:
    """The text of README.md for the model that is called ``name`` on the Hub."""
    ways = ", and ".join(" to ".join(facts.along(way)) for way in facts.directions)
    samples = "\n![Inputs, translations and reconstructions](samples.png)\n" if has_samples else ""
    return CARD.format(
        licence=facts.licence,
        method=facts.method if LICENCE.fullmatch(facts.method) else "gan",
        title=words.text(facts.title),
        ways=words.text(ways),
        samples=samples,
        name=name,
        alarms=words.alarms(facts),
        scores=words.scores(facts),
        data=words.data(facts),
        how=words.method(facts),
    )


def check_licence(licence: str | None) -> str:
    """``licence`` as the Hub takes it.

    Raises:
        OptionError: it is missing, or no identifier.
    """
    if not licence or not LICENCE.fullmatch(licence.lower()):
        problem = "the model has no licence yet" if not licence else f"--licence is {licence!r}"
        raise OptionError(problem, cure="give --licence with the Hub's name for it, such as mit, cc-by-4.0 or other")
    return licence.lower()

"""``python -m diptych``, and what ``accelerate launch -m diptych`` starts."""

from diptych.cli import main

if __name__ == "__main__":
    main()

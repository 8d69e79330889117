"""A wrong sign, weight or direction, or a wrong switch, is noticed."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_wrong_version_of_the_losses_and_methods_passes_the_tests():
    script = Path(__file__).with_name("mutations.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

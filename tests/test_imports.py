"""Tests share code through the package ``helpers`` alone: each test file can be read, changed and deleted by itself."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imported(source):
    """The top-level modules that ``source`` imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_file_imports_a_test_file(path):
    assert imported(path.read_text()) & {other.stem for other in TESTS.glob("*.py")} == set()

"""One word, one meaning: class names are unique, and private words of the past stay away."""

import ast
import re
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("listener", "workers", "webui", "models", "dicom", "db", "sonogate")
MIGRATIONS = TOP / "db" / "migrations" / "versions"
GONE = re.compile(
    r"\b(wish(es)?|doorbell|workshop|rehearsal|abstain\w*|front door)\b", re.IGNORECASE
)
"""Words that the glossary has a term for."""


def modules() -> list[Path]:
    return [path for name in PACKAGES for path in sorted((TOP / name).rglob("*.py"))]


def test_a_class_name_means_one_thing() -> None:
    defined = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(str(path.relative_to(TOP)))
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}


def test_modules_use_the_terms_of_the_glossary() -> None:
    texts = {path: path.read_text() for path in modules() if MIGRATIONS not in path.parents}
    assert texts, "no module was found: the packages have moved"
    found = {
        f"{path.relative_to(TOP)}: {match.group()}"
        for path, text in texts.items()
        for match in GONE.finditer(text)
    }
    assert found == set()

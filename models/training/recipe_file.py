"""A recipe back to a file, as `models.recipe.read_recipe` reads it."""

import json
from pathlib import Path
from typing import Any

from models.recipe import Recipe


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write a recipe as TOML; it takes the file's name when it is read."""
    file.write_text(recipe_to_toml(recipe), encoding="utf-8")


def recipe_to_toml(recipe: Recipe) -> str:
    """Return what differs from the defaults as TOML."""
    values = recipe.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    loose = {key: x for key, x in values.items() if not isinstance(x, dict)}
    tables = {key: x for key, x in values.items() if isinstance(x, dict)}
    parts = [_lines(loose), *(f"[{key}]\n{_lines(table)}" for key, table in tables.items())]
    return "\n".join(parts)


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(x)}\n" for key, x in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(x)}' for key, x in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_value(x) for x in value)}]"
    # What is left is written alike in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)

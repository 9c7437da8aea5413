"""Writing recipes as TOML files, which `models.recipe.read_recipe` reads."""

import json
from pathlib import Path
from typing import Any

from models.recipe import Recipe


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write what differs from the defaults as TOML. The file name becomes the recipe's name."""
    values = recipe.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    top_level = {key: x for key, x in values.items() if not isinstance(x, dict)}
    tables = {key: x for key, x in values.items() if isinstance(x, dict)}
    parts = [_to_lines(top_level)]
    parts += [f"[{key}]\n{_to_lines(table)}" for key, table in tables.items()]
    file.write_text("\n".join(parts), encoding="utf-8")


def _to_lines(table: dict[str, Any]) -> str:
    return "".join(f"{_to_key(key)} = {_to_value(x)}\n" for key, x in table.items())


def _to_value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_to_key(key)} = {_to_value(x)}' for key, x in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_to_value(x) for x in value)}]"
    # Strings, numbers and booleans are the same in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)


def _to_key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)

"""dicom-validator, with the tables of the standard that highdicom brings.

It makes its own tables from the standard's DocBook files, which it downloads. Those of highdicom
have every attribute of every module, nested ones too, with its type, but no conditions and no
enumerated values. So it finds what is missing or empty that never may be, what is not a value of
its VR, and every attribute that has no place where it stands.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag, Tag

Attributes = dict[str, Any]
"""By tag; below "items" those of a sequence's items."""
_CONTENT = "sr-document-content"
# Here each object chooses: functional groups by its class, content by its value type.
_CHOICES = ["SharedFunctionalGroupsSequence"], ["PerFrameFunctionalGroupsSequence"]
_CONTENT_CHOICES: tuple[list[str], ...] = [], ["ContentSequence"]


def violations(path: Path) -> list[str]:
    """Return what is wrong: the module, the attribute with the sequences around it, and how."""
    package = "dicom_validator.validator"
    validator = pytest.importorskip(f"{package}.iod_validator")
    quiet = pytest.importorskip(f"{package}.error_handler").NullValidationResultHandler()
    dataset = pydicom.dcmread(path)
    iod = _information_object(dataset.SOPClassUID)
    modules = {module: _attributes(module) for module in iod["modules"]}
    info = validator.DicomInfo({}, {dataset.SOPClassUID: iod}, modules)
    result = validator.IODValidator(dataset, info, error_handler=quiet).validate()
    return [
        f"{module}: {_keywords(*(at.parents or ()), at.tag)}: {how.code.name}"
        for module, errors in result.module_errors.items()
        for at, how in errors.items()
    ]


def _keywords(*tags: BaseTag) -> str:
    return " > ".join(map(keyword_for_tag, tags))


def _information_object(sop_class_uid: str) -> dict[str, Any]:
    """Return the modules of the class, and for each whether it is mandatory."""
    title = _tables("sop_class_iod_map")[sop_class_uid]
    modules = {
        module["key"]: {"ref": module["key"], "use": module["usage"]}
        for module in _tables("iod_module_map")[title]
    }
    return {"title": title, "modules": modules, "group_macros": {}}


@cache
def _attributes(module: str) -> Attributes:
    attributes = _nested(module)
    if module == _CONTENT:  # a tree of any depth, of which the table has the first level
        items = attributes[_tag("ContentSequence")]["items"]
        items[_tag("ContentSequence")] = {"type": "3", "items": items}
    return attributes


def _nested(module: str) -> Attributes:
    choices = _CONTENT_CHOICES if module == _CONTENT else _CHOICES
    root: Attributes = {}
    for row in _tables("module_attribute_map")[module]:
        if tag_for_keyword(row["keyword"]) is None:
            continue  # of overlays: a group of tags, of which Sonogate has none
        place = root
        for sequence in row["path"]:
            place = place[_tag(sequence)].setdefault("items", {})
        kind = "3" if row["path"] in choices else row["type"]
        place[_tag(row["keyword"])] = {"name": row["keyword"], "type": kind}
    return root


@cache
def _tables(name: str) -> dict[str, Any]:
    text = (files("highdicom") / "_standard" / f"{name}.json").read_text()
    tables: dict[str, Any] = json.loads(text)
    return tables


def _tag(keyword: str) -> str:
    tag = Tag(keyword)
    return f"({tag.group:04X},{tag.element:04X})"

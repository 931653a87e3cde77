"""Records: structs whose fields define the JSON, the rows and the schema of a report.

``doc`` describes a field, with these options:

- ``row``: its name in rows; "" adds nothing to the name of the enclosing field, None omits it.
- ``heading``: its heading in the tables of tensors; ``expected`` is the path of the field with the
  value of the distribution.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, inspect

from initcli.checkpoint import Subject

_Record = TypeVar("_Record", bound=msgspec.Struct)


def doc(text: str, **extra: str | None) -> Meta:
    """The description of a field, with options."""
    return Meta(description=text, extra=extra)


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a report."""

    name: Annotated[str, doc("Name of the model.")]
    seed: Annotated[int | None, doc("Seed of the random values; null where none are drawn.")]
    dtype: Annotated[
        str | None,
        doc("Dtype of layers without their own; for stored weights, the most common one."),
    ]
    defaults: Annotated[
        str | None, doc("Framework whose default initializers apply; null for weights in a file.")
    ]
    source: Annotated[
        str, doc("Format of the source: spec, keras, huggingface, python, weights or another one.")
    ]

    @classmethod
    def of(cls, model: Subject) -> ModelRecord:
        """The record of a model, or of the weights in a file."""
        return record(cls, model)


class Column(NamedTuple):
    """One column of a report's rows: its name, and the path of its field within the record."""

    name: str
    path: tuple[str, ...]
    description: str
    is_names: bool
    heading: str | None
    expected: str | None

    def value(self, record: Any) -> Any:
        """The value of the column; None if a struct on the way is None."""
        for name in self.path:
            if record is None:
                return None
            record = getattr(record, name)
        return record


class Rows(NamedTuple):
    """Rows of a report, which may be computed as they are read.

    ``title`` and ``facts`` are printed above a Markdown table, which has the ``shown`` columns, or
    all if there are none.
    """

    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]
    title: str = ""
    facts: str = ""
    shown: Sequence[str] = ()

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows with their columns in order; numbers that are not finite are None."""
        for row in self.rows:
            yield {name: finite(row[name]) for name in self.columns}


def finite(value: Any) -> Any:
    """A finite number, with -0.0 as 0.0; None for other numbers; any other value unchanged."""
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    return value


def record(kind: type[_Record], source: object, /, **known: Any) -> _Record:
    """A record with the known values; others are the source's attributes of the same names."""
    others = (name for name in kind.__struct_fields__ if name not in known)
    return kind(**known, **{name: getattr(source, name) for name in others})


def plain(value: Any, text: Callable[[str], str] = str) -> Any:
    """A record as built-in values, with :func:`finite` numbers and strings mapped by ``text``."""

    def converted(value: Any) -> Any:
        match value:
            case float():
                return finite(value)
            case str():
                return text(value)
            case dict():
                return {key: converted(each) for key, each in value.items()}
            case list() | tuple():
                return [converted(each) for each in value]
        return value

    return converted(msgspec.to_builtins(value))


def json_text(report: msgspec.Struct) -> str:
    """A report as one JSON object on one line, in ASCII."""
    return json.dumps(plain(report), allow_nan=False) + "\n"


def rows_of(
    kind: type[_Record], records: Iterable[_Record], before: Mapping[str, Any], **facts: Any
) -> Rows:
    """Records of one kind as flat rows, each beginning with the same cells."""
    names = (*before, *(column.name for column in columns(kind)))
    return Rows(names, ({**before, **_flat(kind, each)} for each in records), **facts)


def _flat(kind: type[_Record], record: _Record) -> dict[str, Any]:
    cells = {}
    for column in columns(kind):
        value = column.value(record)
        if column.is_names:
            value = " ".join(value)
        elif isinstance(value, tuple):
            value = list(value)
        cells[column.name] = value
    return cells


@cache
def columns(kind: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns of a record: nested fields in order, their names joined by underscores."""
    return tuple(_columns(inspect.type_info(kind), (), ()))


def _columns(kind: Any, path: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Column]:
    for field in kind.fields:
        meta = field.type
        extra = meta.extra or {}
        name = extra.get("row", field.name)
        if name is None:
            continue
        inner = (*path, field.name), (*names, *([name] if name else []))
        options = getattr(meta.type, "types", (meta.type,))
        struct = next((each for each in options if isinstance(each, inspect.StructType)), None)
        if struct is not None:
            yield from _columns(struct, *inner)
        else:
            description = meta.extra_json_schema["description"]
            is_names = isinstance(getattr(meta.type, "item_type", None), inspect.StrType)
            shown = extra.get("heading"), extra.get("expected")
            yield Column("_".join(inner[1]), inner[0], description, is_names, *shown)


def schema_text(name: str) -> str:
    """The JSON Schema of a command's JSON, in ASCII."""
    report = getattr(import_module(f"initcli.reports.{name}"), f"{name.title()}Report")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_with_nulls(msgspec.json.schema(report)),
    }
    return json.dumps(schema, indent=2) + "\n"


def _with_nulls(schema: Any) -> Any:
    """A schema in which every number may be null, which stands for NaN and infinities."""
    if isinstance(schema, list):
        return [_with_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_nulls(each) for key, each in schema.items()}
    return {**found, "type": ["number", "null"]} if found.get("type") == "number" else found

"""The tensors that a configuration declares, with the values of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from initcli.checkpoint import Checkpoint
from initcli.errors import some
from initcli.model import Disagreement, Kind, Model, with_parameters
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK
from initcli.sources.huggingface.fitting import declared_shapes, fitting
from initcli.sources.huggingface.model import VERSION
from initcli.sources.huggingface.names import Analogies, Names, Partners
from initcli.stored import StoredTensor

_FILE = re.compile(r"(pytorch_)?model[\w.-]*\.(safetensors|bin)(\.index\.json)?")


def is_of_library(file: str) -> bool:
    """Whether the library stores a model's tensors under that file name."""
    return _FILE.fullmatch(file) is not None


def is_quantized(model: Model) -> bool:
    """Whether the checkpoint is quantized, so that its tensors are not the declared ones."""
    return bool(model.document.data.get("quantization_config"))


def with_checkpoint(
    model: Model, checkpoint: Checkpoint, given: Mapping[str, StoredTensor]
) -> Model:
    """The described model with the values of a file that uses the library's names.

    Differences between the configuration and the file are the model's ``disagreements``.
    Undeclared tensors of the file become layers after the others.

    Args:
        model: the model that a configuration declares.
        checkpoint: the tensors of the file.
        given: tensors whose paths in the model are known, by path.
    """
    taken = {each.path for each in given.values()}
    tensors = [each for each in checkpoint.tensors if each.path not in taken]
    names = Names(model.name, declared_shapes(model))
    partners = names.partners(tensors)
    by_path = {**partners.by_path, **given}
    holding = _Holding(model, names, partners, by_path)
    layers = tuple(with_parameters(layer, holding.held) for layer in model.layers)
    extra = msgspec.structs.replace(checkpoint, tensors=tuple(holding.extra))
    return msgspec.structs.replace(
        model,
        layers=(*layers, *extra.layers),
        notes=(*model.notes, *checkpoint.notes, *holding.notes()),
        disagreements=tuple(_with_remedies(model, tensors, holding.disagreements)),
    )


def has_any(held: Model, declared: Model) -> bool:
    """Whether the file has any tensor of the declared model."""
    lacking = sum(each.kind in ("missing", "optional") for each in held.disagreements)
    return lacking < len(declared.parameters)


def _with_remedies(
    model: Model, tensors: Sequence[StoredTensor], disagreements: Sequence[Disagreement]
) -> Iterator[Disagreement]:
    """The disagreements, each with the change of the configuration that resolves it, if any."""
    faults = {(each.kind, each.path) for each in disagreements}
    faults = {each for each in faults if each[0] not in ("optional", "untied")}
    found = fitting(model, tensors, frozenset(faults)) if faults else None
    for each in disagreements:
        fault = (each.kind, each.path)
        if found is None or fault not in faults or fault in found.left:
            yield each
        else:
            yield msgspec.structs.replace(each, remedy=found.text, key=found.key)


class _Holding:
    """Compares declared parameters with the tensors of a file."""

    def __init__(
        self, model: Model, names: Names, partners: Partners, by_path: dict[str, StoredTensor]
    ) -> None:
        self.names = names
        self.partners = partners
        self.by_path = by_path
        self.analogies = Analogies((path, each.path) for path, each in by_path.items())
        self.disagreements = list(partners.disagreements)
        self.extra = [*partners.unexpected, *partners.loose]
        self.broken = {each.path for each in partners.disagreements}
        for name, first in model.ties.items():
            self._tie(name, first)
        self.disagreements += (
            Disagreement(kind="unexpected", path=each.path, names=(each.path,))
            for each in partners.unexpected
        )

    def _tie(self, name: str, first: str) -> None:
        """Take the values of a tied tensor from its second name if the file lacks the first."""
        other = self.by_path.pop(name, None)
        if other is None:
            return
        own = self.by_path.setdefault(first, other)
        if own is not other and not _are_equal(own, other):
            pair = (own.path, other.path)
            self.disagreements.append(Disagreement(kind="untied", path=first, names=pair))
            self.extra.append(other)

    def held(self, parameter: Parameter) -> Parameter:
        """The parameter with its values, or with none if the file lacks it.

        A tensor of another shape replaces the declared one: its values do not have the declared
        distribution.
        """
        path = parameter.path
        stored = self.by_path.get(path)
        if stored is None:
            if path not in self.broken and path not in self.partners.unclear:
                kind: Kind = "optional" if self.names.is_optional(path) else "missing"
                self.disagreements.append(
                    Disagreement(
                        kind=kind,
                        path=path,
                        declared=parameter.shape,
                        names=(self.analogies.name(path),),
                    )
                )
            nothing = StoredTensor(
                path=path, shape=parameter.shape, dtype=parameter.dtype, storage=None
            )
            return msgspec.structs.replace(parameter, stored=nothing)
        if stored.shape == parameter.shape:
            return msgspec.structs.replace(parameter, stored=stored, dtype=stored.dtype)
        self.disagreements.append(
            Disagreement(kind="shape", path=path, declared=parameter.shape, names=(stored.path,))
        )
        renamed = msgspec.structs.replace(stored, path=path)
        (undeclared,) = Checkpoint(name="", tensors=(renamed,)).parameters
        return msgspec.structs.replace(undeclared, stored=stored)

    def notes(self) -> Iterator[str]:
        """Facts about the names."""
        if unread := self.partners.unread:
            names = some([each.path for each in unread])
            yield f"{VERSION} does not read {names}"
        if unclear := self.partners.unclear:
            yield f"{VERSION} converts what it reads as {some(sorted(unclear))}: not followed"


def _are_equal(one: StoredTensor, two: StoredTensor) -> bool:
    """Whether two tensors have the same values."""
    if two.alias_of == one.path or one.alias_of == two.path:
        return True
    if (one.shape, one.dtype) != (two.shape, two.dtype):
        return False
    if one.storage is None or two.storage is None:
        return one.storage is two.storage
    chunks = ((start, min(start + CHUNK, one.size)) for start in range(0, one.size, CHUNK))
    return all(one.entries(*chunk).tobytes() == two.entries(*chunk).tobytes() for chunk in chunks)

"""I208: residual schemes that miss branches or count the wrong number of blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.remedies import scaled_by, with_arguments, written
from initcli.documents.edit import Change, merged
from initcli.errors import listed
from initcli.initializers import DeepNorm, Fixup
from initcli.parameter import Parameter
from initcli.signal.branches import Branch, Kernel
from initcli.signal.residual import Stream, residual_streams

_SHOWN = 3
"""Maximum number of layers that a message names."""
_WITHOUT = ("none", "not known", "constant")
"""Schemes that may skip branches; constants differ between stages on purpose."""
_ALPHA = 0.01
"""Relative error of the factor of a stream."""


class ResidualSchemeApplied(Check):
    """A residual scheme misses branches, or counts the wrong number of blocks.

    ## What it does
    Detects how the residual branches of a stream are scaled: last kernels of 1/√(2L) of the size of
    the others for L blocks (GPT-2), or 1/√L; zeros in the last kernel, scale or gamma; DeepNorm,
    Fixup, LayerScale, or a multiplier of 1/√L. Reports branches that lack the scaling of the others
    in the stream, 1/√(2n) for an n other than the number of blocks, and arguments of `DeepNorm` and
    `Fixup` that do not match the model.

    ## Why is this bad
    Code often applies a scheme by the names of layers, and misses layers with other names, or
    layers that are initialized again later. Their branches then add √(2L) times as much as the
    others, and the residual stream grows despite the scheme.

    ## Reported
    ```yaml
    input_shape: [16, 64]
    initializers:
      kernel: {type: RandomNormal, stddev: 0.02}
      residual: {type: RandomNormal, stddev: 0.00577}
    layers:
      - repeat: 6
        layers:
          - {type: LayerNormalization, name: ln_1}
          - type: MultiHeadAttention
            name: attention
            num_heads: 4
            key_dim: 16
            kernel_initializer: kernel
            output_initializer: residual
            inputs: [ln_1, ln_1]
          - {type: Add, name: attended, inputs: [input, attention]}
          - {type: LayerNormalization, name: ln_2}
          - {type: Dense, units: 256, activation: gelu, kernel_initializer: kernel}
          - {type: Dense, name: down, units: 64, kernel_initializer: kernel}
          - {type: Add, inputs: [attended, down]}
    ```

    ## Not reported
    ```yaml
    input_shape: [16, 64]
    initializers:
      kernel: {type: RandomNormal, stddev: 0.02}
      residual: {type: RandomNormal, stddev: 0.00577}
    layers:
      - repeat: 6
        layers:
          - {type: LayerNormalization, name: ln_1}
          - type: MultiHeadAttention
            name: attention
            num_heads: 4
            key_dim: 16
            kernel_initializer: kernel
            output_initializer: residual
            inputs: [ln_1, ln_1]
          - {type: Add, name: attended, inputs: [input, attention]}
          - {type: LayerNormalization, name: ln_2}
          - {type: Dense, units: 256, activation: gelu, kernel_initializer: kernel}
          - {type: Dense, name: down, units: 64, kernel_initializer: residual}
          - {type: Add, inputs: [attended, down]}
    ```

    ## Use instead
    The scaling of the other branches, which the remedy writes.

    ## References
    - Radford et al. 2019, Language models are unsupervised multitask learners, section 2.3
    - karpathy/minGPT#134, huggingface/transformers#47458
    - Zhang, Dauphin, Ma 2019, Fixup initialization, arXiv:1901.09321
    - Wang et al. 2022, DeepNet: scaling transformers to 1,000 layers, arXiv:2203.00555
    """

    code = "I208"
    name = "residual-scheme"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for stream in residual_streams(evidence.graph) if evidence.graph is not None else ():
            if stream.left_out and stream.main.scheme not in _WITHOUT:
                yield self._left_out(evidence, stream)
            elif (number := stream.other_number) is not None:
                yield self._other_number(evidence, stream, number)
            yield from self._arguments(evidence, stream)
            yield from self._alpha(evidence, stream)
            yield from self._alpha_alone(evidence, stream)

    def _left_out(self, evidence: Evidence, stream: Stream) -> Finding:
        out, main = stream.left_out, stream.main
        changes: list[Change] = []
        for branch in out:
            changes += _completed(evidence, stream, branch)
        names = list(dict.fromkeys(map(stream.name, out)))
        shown = listed([*names[:_SHOWN], *[f"{len(names) - _SHOWN:,} more"] * (len(names) > 3)])
        return self._finding(
            evidence,
            stream,
            out,
            message=(
                f"{stream.scheme.scheme} scales {len(stream.branches) - len(out):,} of "
                f"{len(stream.branches):,} residual branches, but not those that end with "
                f"{shown.replace(' or ', ' and ')}"
            ),
            changes=changes,
            advice=f"end them like the others: {main.scheme}, with the {main.scales or 'factor'} "
            f"{'0' if not main.factor else f'{main.factor:.3g}'}",
        )

    def _other_number(self, evidence: Evidence, stream: Stream, number: int) -> Finding:
        factor = math.sqrt(number / stream.blocks)
        kernels = [each for branch in stream.branches for each in branch.last]
        return self._finding(
            evidence,
            stream,
            stream.branches,
            message=(
                f"the last kernels of {len(stream.branches):,} residual branches have "
                f"1/√(2 · {number:,}) of the size of the others, but there are {stream.blocks:,} "
                "blocks"
            ),
            changes=_all(
                _change(evidence, each, scaled_by(each.parameter, factor)) for each in kernels
            ),
            advice=f"1/√(2L) with L = {stream.blocks:,}",
        )

    def _arguments(self, evidence: Evidence, stream: Stream) -> Iterator[Finding]:
        """Arguments of initializers that count the model's branches or layers."""
        wrong: list[tuple[Kernel, dict[str, int]]] = []
        for branch in stream.branches:
            for each in (*branch.kernels, *branch.last):
                if other := _miscounted(each.parameter, stream, branch):
                    wrong.append((each, other))
        if not wrong:
            return
        first, other = wrong[0]
        made = first.parameter.initializer
        said = listed([f"{name} {made.arguments.get(name)}" for name in other], "and")
        seen = listed([f"{value}" for value in other.values()], "and")
        yield self._finding(
            evidence,
            stream,
            stream.branches,
            message=f"{made.type_name} has {said}, but the model {seen}",
            changes=_all(
                _change(evidence, each, with_arguments(each.parameter.initializer, values))
                for each, values in wrong
            ),
            advice=f"write {listed([f'{name}: {value}' for name, value in other.items()], 'and')}",
        )

    def _alpha(self, evidence: Evidence, stream: Stream) -> Iterator[Finding]:
        """Streams of DeepNorm without its factor."""
        out: list[Branch] = []
        wanted = 1.0
        for branch in stream.branches:
            last = branch.last[-1].parameter.initializer if branch.last else None
            if isinstance(last, DeepNorm) and abs(branch.stream / last.alpha - 1) > _ALPHA:
                wanted = last.alpha
                out.append(branch)
        if out:
            yield self._finding(
                evidence,
                stream,
                out,
                message=(
                    f"{len(out):,} residual sums carry {out[0].stream:.3g} times the stream, but "
                    f"DeepNorm needs {wanted:.4g} times"
                ),
                changes=(),
                advice=f"multiply the stream before each sum: {{type: Rescaling, scale: "
                f"{wanted:.5g}}}",
            )

    def _alpha_alone(self, evidence: Evidence, stream: Stream) -> Iterator[Finding]:
        """The factor of DeepNorm on a stream whose branches lack its kernels."""
        carried, made = stream.scheme.stream_factor, DeepNorm(encoder_layers=stream.blocks)
        is_stack = stream.per_block in (2, 3) and stream.main.scheme == "none"
        if is_stack and carried and abs(carried / made.alpha - 1) < _ALPHA:
            yield self._finding(
                evidence,
                stream,
                stream.branches,
                message=(
                    f"{len(stream.branches):,} residual sums carry {carried:.4g} times the stream, "
                    f"the α of DeepNorm, and no kernel has its β = {made.beta:.3g}"
                ),
                changes=(),
                advice="fill the kernels of feed-forward layers, values and outputs with "
                f"{{type: DeepNorm, encoder_layers: {stream.blocks}}}, or decoder_layers",
            )

    def _finding(
        self,
        evidence: Evidence,
        stream: Stream,
        out: Sequence[Branch],
        *,
        message: str,
        changes: Sequence[Change],
        advice: str,
    ) -> Finding:
        names = [stream.name(each) for each in out]
        kernel = out[0].last[-1] if out[0].last else None
        texts = dict.fromkeys(
            written(str(each.path[-1]), each.value, evidence.model.document.dialect)
            for each in changes
        )
        shown = list(texts)[:_SHOWN] + ["..."] * (len(texts) > _SHOWN)
        return self.finding(
            evidence,
            evidence.owners[names[0]],
            None if kernel is None or not changes else kernel.parameter,
            message=message,
            remedy="; ".join(shown),
            advice=advice,
            changes=merged(changes),
            others=names,
        )


def _completed(evidence: Evidence, stream: Stream, branch: Branch) -> list[Change]:
    """The changes that give a branch the scheme of the others; empty if they need other layers."""
    main, scale = stream.main, branch.scale
    if main.scales == "gamma":
        gamma = scale or _gamma(evidence, branch, stream)
        return [] if gamma is None else _change(evidence, gamma, "zeros")
    if main.scales != "kernel" or not branch.last:
        return []
    if main.scheme == "DeepNorm":
        made = next(
            each.last[-1].parameter.initializer
            for each in stream.branches
            if each.last and isinstance(each.last[-1].parameter.initializer, DeepNorm)
        )
        value = with_arguments(made, {})
        return _all(_change(evidence, each, value) for each in branch.last)
    factor = main.factor or 0.0
    return _all(
        _change(evidence, each, scaled_by(each.parameter, factor) if factor else "zeros")
        for each in branch.last
    )


def _gamma(evidence: Evidence, branch: Branch, stream: Stream) -> Kernel | None:
    """The gamma of the normalization that ends a branch."""
    graph = stream.graph
    for tensor in graph.steps[branch.sum].inputs:
        index = graph.made_by.get(tensor)
        if index is None or tensor == branch.fork:
            continue
        step = graph.steps[index]
        if step.layer.acts_as() == "normalizes":
            return next((Kernel(index, p) for p in step.parameters if p.name == "gamma"), None)
    return None


def _miscounted(parameter: Parameter, stream: Stream, branch: Branch) -> dict[str, int]:
    """The correct values of a kernel's initializer arguments that do not match the model."""
    made = parameter.initializer
    if isinstance(made, DeepNorm) and stream.per_block in (2, 3):
        name = f"{made.stack or ('encoder' if made.encoder_layers else 'decoder')}_layers"
        return {name: stream.blocks} if getattr(made, name) != stream.blocks else {}
    if isinstance(made, Fixup):
        own = {"branches": len(stream.branches), "branch_layers": _depth(branch)}
        return {name: value for name, value in own.items() if getattr(made, name) != value}
    return {}


def _depth(branch: Branch) -> int:
    """The number of layers with kernels in a branch."""
    return len({each.step for each in (*branch.kernels, *branch.last)})


def _all(changes: Iterable[list[Change]]) -> list[Change]:
    return [change for each in changes for change in each]


def _change(evidence: Evidence, kernel: Kernel, value: object) -> list[Change]:
    """The change that sets the initializer of a kernel and of no other kernel of the layer."""
    assert evidence.graph is not None
    layer = evidence.layer_of(kernel.step)
    parameter = kernel.parameter
    own = "output_initializer"
    if parameter.argument == "kernel_initializer" and hasattr(layer.layer, own):
        if not parameter.path.endswith("attention_output/kernel"):
            return []
        return [Change((*layer.path, own), value)]
    return list(evidence.change(layer, parameter, value))

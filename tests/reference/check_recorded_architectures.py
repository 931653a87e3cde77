"""How much of the models of transformers is recorded: builds each architecture by its defaults.

    python tests/reference/check_recorded_architectures.py [MODEL_TYPE ...]

Needs PyTorch and transformers. Nothing is drawn and no memory is taken for weights, so that models
have their full size. One line for each model type tells its weights, tensors, those that nothing
writes to, those whose rule is not known, and the seconds of CPU; the last lines count them.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from types import ModuleType

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import initcli
from initcli.errors import InitcliError
from initcli.initializers.given import Parts, Uninitialized, Unknown
from initcli.parameter import Parameter


def built(model_type: str) -> torch.nn.Module:
    config = CONFIG_MAPPING[model_type]()
    for auto in ("AutoModelForCausalLM", "AutoModel", "AutoModelForImageClassification"):
        mapping = getattr(transformers, auto)._model_mapping
        if type(config) in mapping:
            return getattr(transformers, auto).from_config(config)
    raise LookupError("no class of models")


def kinds(parameter: Parameter) -> set[type]:
    initializer = parameter.initializer
    boxes = initializer.visible if isinstance(initializer, Parts) else ()
    return {type(initializer), *(type(box.initializer) for box in boxes)}


def operations(parameter: Parameter) -> list[str]:
    initializer = parameter.initializer
    boxes = initializer.visible if isinstance(initializer, Parts) else ()
    parts = [initializer, *(box.initializer for box in boxes)]
    return [each.operation for each in parts if isinstance(each, Unknown)]


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    holder = ModuleType("holder")
    sys.modules["holder"] = holder
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for model_type in sys.argv[1:] or sorted(CONFIG_MAPPING):
        holder.build = lambda model_type=model_type: built(model_type)  # type: ignore[attr-defined]
        start = time.process_time()
        try:
            model = initcli.load("holder:build")
        except (InitcliError, Exception) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"{model_type}: not built: {reason[:100]}", flush=True)
            counts["not built"] += 1
            continue
        tensors = list(model.parameters)
        unwritten = [each for each in tensors if Uninitialized in kinds(each)]
        named = [operation for each in tensors for operation in operations(each)]
        live = any(each.stored is not None for each in tensors)
        unknown.update(f"{each} ({model_type})" for each in set(named))
        counts["built"] += 1
        counts["measured, not recorded"] += live
        counts["with tensors that nothing writes to"] += bool(unwritten)
        counts["with tensors of unknown rules"] += bool(named)
        counts["recorded whole"] += not (named or live)
        counts["tensors"] += len(tensors)
        counts["tensors that nothing writes to"] += len(unwritten)
        counts["tensors of unknown rules"] += len(named)
        print(
            f"{model_type}: {sum(each.size for each in tensors):,} weights, {len(tensors):,} tensors, "
            f"{len(unwritten)} unwritten, {len(named)} unknown{', live' * live}, "
            f"{time.process_time() - start:.1f} s",
            flush=True,
        )
    for name, count in counts.items():
        print(f"{name}: {count:,}")
    print("unknown:", "; ".join(sorted(unknown)))


if __name__ == "__main__":
    main()

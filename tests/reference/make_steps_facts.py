"""Write down what steps of training do in PyTorch, as steps_facts.json.

Install the public packages, and initcli, then run from any directory:

    pip install torch==2.13.0
    python make_steps_facts.py

Weights, inputs and targets are those that initcli draws for seed 0; PyTorch computes the rest: the
loss before and after each step, and how far the output of each layer moved after each.
"""

import json
from pathlib import Path

import torch

import initcli
from initcli.random.streams import Stream
from initcli.signal.inputs import drawn_input, standard_normal
from initcli.signal.program import program

FILE = Path(__file__).parent / "steps_facts.json"
BATCH, STEPS = 16, 3
ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, -1),
    "linear": lambda z: z,
}
HIDDEN = (
    "{type: Dense, units: 24, activation: tanh, name: a, bias_initializer: ones}",
    "{type: LayerNormalization, epsilon: 1e-5, name: norm}",
    "{type: Dense, units: 16, activation: relu, name: b, kernel_initializer: he_normal}",
)
HEADS = {
    "classes": ("{type: Dense, units: 5, activation: softmax, name: head}", "cross_entropy"),
    "logits": ("{type: Dense, units: 5, name: head}", "cross_entropy"),
    "labels": ("{type: Dense, units: 3, activation: sigmoid, name: head}", "binary_cross_entropy"),
    "label_logits": ("{type: Dense, units: 3, name: head}", "binary_cross_entropy"),
    "numbers": ("{type: Dense, units: 2, name: head}", "mean_squared_error"),
}
OPTIMIZERS = {"sgd": 0.5, "adam": 0.01}


def targets(loss, shape):
    """The targets of the output, as initcli draws them."""
    if loss == "mean_squared_error":
        return torch.tensor(standard_normal("target head 0", 0, shape, "float32"))
    rng = Stream("initcli 1\0target head 0\0" + "0").generator()
    if loss == "binary_cross_entropy":
        return torch.tensor(rng.integers(0, 2, shape)).float()
    return torch.tensor(rng.integers(0, shape[-1], shape[:-1]))


def value(loss, layer, y, z, wanted):
    """The loss of an output, from the logits where it has a softmax or sigmoid."""
    if loss == "mean_squared_error":
        return torch.nn.functional.mse_loss(y, wanted)
    if loss == "binary_cross_entropy":
        return torch.nn.functional.binary_cross_entropy_with_logits(z, wanted)
    return torch.nn.functional.cross_entropy(z, wanted)


def outputs(model, weights, x):
    """The output of each layer, and the last one before its activation."""
    found, z = [], x
    for layer in model.layers:
        if layer.type == "LayerNormalization":
            z = torch.nn.functional.layer_norm(
                x, x.shape[1:], weights["norm/gamma"], weights["norm/beta"], 1e-5
            )
            x = z
        else:
            z = x @ weights[f"{layer.name}/kernel"] + weights[f"{layer.name}/bias"]
            x = ACTIVATIONS[type(layer.layer.activation).__name__.lower()](z)
        found.append(x)
    return found, z


def steps(model, loss, optimizer, rate):
    """Losses, and changes by layer, of all steps."""
    built = program(model, BATCH)
    weights = {
        each.path: torch.tensor(initcli.draw(each)).requires_grad_() for each in model.parameters
    }
    (own,) = built.inputs
    x = torch.tensor(drawn_input(own, built.shapes[own.tensor], 0, model))
    wanted = targets(loss, built.shapes[built.results[0]])
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    trainer = kind(weights.values(), lr=rate)
    first, losses, changes = None, [], {layer.name: [] for layer in model.layers}
    for _ in range(STEPS + 1):
        found, z = outputs(model, weights, x)
        if first is None:
            first = [each.detach() for each in found]
        else:
            for layer, each, before in zip(model.layers, found, first, strict=True):
                change = (each - before).square().mean().sqrt()
                changes[layer.name].append(float(change))
        own_loss = value(loss, model.layers[-1], found[-1], z, wanted)
        losses.append(float(own_loss.detach()))
        trainer.zero_grad()
        own_loss.backward()
        trainer.step()
    return {"losses": losses, "changes": changes}


def main():
    facts = []
    for name, (head, loss) in HEADS.items():
        lines = "".join(f"  - {line}\n" for line in (*HIDDEN, head))
        spec = f"input_shape: [12]\nlayers:\n{lines}"
        for optimizer, rate in OPTIMIZERS.items():
            found = steps(initcli.parse(spec), loss, optimizer, rate)
            how = {"name": name, "loss": loss, "optimizer": optimizer, "learning_rate": rate}
            facts.append({**how, "spec": spec, **found})
    FILE.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

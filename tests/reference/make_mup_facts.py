"""Write down what the package mup makes of models that are wider than their base, as mup_facts.json.

Install the public packages, and initcli, then run from any directory:

    pip install mup==1.0.0 torch==2.13.0
    python make_mup_facts.py

Of each parameter, by its name in initcli: the standard deviation of its initial values, and the
learning rates of MuAdam and MuSGD for a rate of 1; of the readout the number that its input is
divided by. For the first model also what three steps of training do, with the weights, inputs and
targets that initcli draws for seed 0.
"""

import json
from pathlib import Path
from typing import ClassVar

import mup
import torch
from torch import nn

import initcli
from initcli.signal.inputs import drawn_input, standard_normal
from initcli.signal.program import program

FILE = Path(__file__).parent / "mup_facts.json"
BATCH, STEPS = 16, 3
RATES = {"adam": 0.01, "sgd": 0.05}


class Mlp(nn.Module):
    """Three layers: N(0, 0.1²), Glorot, and He with a gain of ReLU; the readout as in PyTorch."""

    spec = """input_shape: [24]
parametrization: mup
base_width: BASE
layers:
  - {type: Dense, units: 256, activation: relu, name: a, kernel_initializer: {type: RandomNormal, stddev: 0.1}}
  - {type: Dense, units: 256, activation: relu, name: b, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 256, activation: relu, name: c, kernel_initializer: he_normal}
  - {type: Dense, units: 256, activation: relu, name: d, kernel_initializer: {type: RandomNormal, stddev: 0.1}}
  - {type: Dense, units: 10, name: head, kernel_initializer: {type: VarianceScaling, scale: 0.3333333333333333, distribution: uniform}}
"""

    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(24, width), nn.Linear(width, width)
        self.c, self.d = nn.Linear(width, width), nn.Linear(width, width)
        self.head = mup.MuReadout(width, 10)

    def start(self):
        mup.init.normal_(self.a.weight, 0, 0.1)
        mup.init.xavier_uniform_(self.b.weight)
        mup.init.kaiming_normal_(self.c.weight, nonlinearity="relu")
        mup.init.normal_(self.d.weight, 0, 0.1)

    def outputs(self, x):
        found = []
        for layer in (self.a, self.b, self.c, self.d):
            x = torch.relu(layer(x))
            found.append(x)
        return [*found, self.head(x)]


class Convolutions(nn.Module):
    """Two convolutions and a readout behind the mean of an image."""

    spec = """input_shape: [8, 8, 3]
parametrization: mup
base_width: BASE
layers:
  - {type: Conv2D, filters: 128, kernel_size: 3, name: a, kernel_initializer: he_uniform}
  - {type: Conv2D, filters: 128, kernel_size: 3, name: b, kernel_initializer: {type: RandomUniform, minval: -0.1, maxval: 0.1}}
  - {type: GlobalAveragePooling2D}
  - {type: Dense, units: 10, name: head, kernel_initializer: {type: VarianceScaling, scale: 0.3333333333333333, distribution: uniform}}
"""

    def __init__(self, width):
        super().__init__()
        width //= 2
        self.a, self.b = nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3)
        self.head = mup.MuReadout(width, 10)

    def start(self):
        mup.init.kaiming_uniform_(self.a.weight, nonlinearity="relu")
        mup.init.uniform_(self.b.weight, -0.1, 0.1)


class Transformer(nn.Module):
    """A block of a transformer with heads of size 16, and a head of its own."""

    spec = """layers:
  - {type: Input, name: ids, shape: [12], dtype: int32}
  - {type: Embedding, input_dim: 100, output_dim: 256, name: table, embeddings_initializer: NORMAL}
  - {type: LayerNormalization, name: norm}
  - {type: MultiHeadAttention, num_heads: 16, key_dim: 16, inputs: [norm, norm], name: attention, kernel_initializer: NORMAL}
  - {type: Add, inputs: [table, attention]}
  - {type: Dense, units: 1024, activation: gelu, name: up, kernel_initializer: NORMAL}
  - {type: Dense, units: 256, name: down, kernel_initializer: NORMAL}
  - {type: Dense, units: 100, name: head, kernel_initializer: {type: VarianceScaling, scale: 0.3333333333333333, distribution: uniform}}
parametrization: mup
base_width: BASE
""".replace("NORMAL", "{type: RandomNormal, stddev: 0.05}")

    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(100, width)
        self.norm = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = mup.MuReadout(width, 100)

    def start(self):
        for name, parameter in self.named_parameters():
            if name.endswith("weight") and not name.startswith(("norm", "head")):
                mup.init.normal_(parameter, 0, 0.05)

    names: ClassVar = {
        "table.weight": "table/embeddings",
        "norm.weight": "norm/gamma",
        "norm.bias": "norm/beta",
        **{
            f"{own}.{end}": f"attention/{theirs}/{name}"
            for own, theirs in (
                *(("query", "query"), ("key", "key"), ("value", "value")),
                ("out", "attention_output"),
            )
            for end, name in (("weight", "kernel"), ("bias", "bias"))
        },
    }


def named(model, name):
    """The name of a parameter in initcli."""
    own = getattr(model, "names", {}).get(name)
    return own or name.replace(".weight", "/kernel").replace(".bias", "/bias")


def wide(kind, times):
    """A model of 256 units whose base is narrower by a factor."""
    model = kind(256)
    mup.set_base_shapes(model, kind(256 // times), delta=kind(512))
    model.start()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()  # biases start at 0 in the specs
    return model


def rates(model, optimizer):
    """The learning rate of each parameter, for a rate of 1."""
    return {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}


def parameters(model):
    """What mup says of each parameter."""
    adam = rates(model, mup.MuAdam(model.parameters(), lr=1.0))
    sgd = rates(model, mup.MuSGD(model.parameters(), lr=1.0))
    found = {}
    for name, parameter in model.named_parameters():
        std = float(parameter.detach().square().mean().sqrt())
        found[named(model, name)] = [std, adam[id(parameter)], sgd[id(parameter)]]
    return found


def trained(spec, times, optimizer):
    """Losses, and how far outputs moved, in steps of training."""
    model = initcli.parse(spec)
    torch_model = wide(Mlp, times)
    for each in model.parameters:
        layer, _, name = each.path.partition("/")
        own = getattr(torch_model, layer)
        value = torch.tensor(initcli.draw(each))
        if name == "kernel":
            own.weight.data = value.mT.contiguous()
        else:
            own.bias.data = value
    # The values are new tensors, of which mup has to know the shapes.
    mup.set_base_shapes(torch_model, Mlp(256 // times), delta=Mlp(512), rescale_params=False)
    built = program(model, BATCH)
    (source,) = built.inputs
    x = torch.tensor(drawn_input(source, built.shapes[source.tensor], 0, model))
    wanted = torch.tensor(standard_normal("target head 0", 0, (BATCH, 10), "float32"))
    kind = {"adam": mup.MuAdam, "sgd": mup.MuSGD}[optimizer]
    trainer = kind(torch_model.parameters(), lr=RATES[optimizer])
    first, losses, changes = None, [], []
    for _ in range(STEPS + 1):
        found = torch_model.outputs(x)
        first = first or [each.detach() for each in found]
        pairs = zip(found, first, strict=True)
        changes.append([float((a.detach() - b).square().mean().sqrt()) for a, b in pairs])
        loss = nn.functional.mse_loss(found[-1], wanted)
        losses.append(float(loss.detach()))
        trainer.zero_grad()
        loss.backward()
        trainer.step()
    return {"losses": losses, "changes": changes[1:], "learning_rate": RATES[optimizer]}


def main():
    torch.manual_seed(0)
    facts = {}
    for kind in (Mlp, Convolutions, Transformer):
        for times in (2, 8):
            spec = kind.spec.replace("BASE", str(1 / times))
            model = wide(kind, times)
            fact = {"spec": spec, "parameters": parameters(model)}
            fact["divided"] = model.head.width_mult()
            if kind is Mlp:
                fact["trained"] = {each: trained(spec, times, each) for each in RATES}
            facts[f"{kind.__name__.lower()}_{times}"] = fact
    FILE.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

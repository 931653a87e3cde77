"""Custom initializers: functions in a file that the command line names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import initcli
from initcli.errors import CustomFunctionError
from support.paths import ROOT

SPEC = "input_shape: [6]\nlayers: [{type: Dense, units: 4, kernel_initializer: mine}]\n"


def load(tmp_path: Path, code: str, spec: str = SPEC, seed: int | None = None) -> initcli.Model:
    (tmp_path / "own.py").write_text(f"import numpy as np\n{code}", "utf-8")
    (tmp_path / "model.yaml").write_text(spec, "utf-8")
    return initcli.load(str(tmp_path / "model.yaml"), seed=seed, custom=[str(tmp_path / "own.py")])


def test_nothing_is_written_beside_a_person_s_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    load(tmp_path, "def mine(shape): return np.ones(shape)")
    assert {file.name for file in tmp_path.iterdir()} == {"own.py", "model.yaml"}


@pytest.mark.parametrize(
    "signature",
    ["shape", "shape, dtype=None", "shape, dtype", "shape, dtype=None, rng=None", "shape, **rest"],
)
def test_what_a_function_returns_is_what_is_drawn(tmp_path: Path, signature: str) -> None:
    code = f"def mine({signature}):\n    return np.arange(24.0).reshape(shape)\n"
    kernel = load(tmp_path, code).parameters[0]
    np.testing.assert_array_equal(initcli.draw(kernel), np.arange(24.0).reshape(6, 4))
    assert initcli.draw(kernel).dtype == np.float32
    assert kernel.distribution is None


def test_the_generator_follows_the_seed(tmp_path: Path) -> None:
    code = "def mine(shape, dtype=None, rng=None):\n    return rng.standard_normal(shape)\n"
    first, again, other = (
        initcli.draw(load(tmp_path, code, seed=seed).parameters[0]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_dtype_has_a_name_that_numpy_knows(tmp_path: Path, dtype: str) -> None:
    code = "def mine(shape, dtype=None):\n    return np.full(shape, 0.1, dtype=dtype)\n"
    kernel = load(tmp_path, code, f"dtype: {dtype}\n{SPEC}").parameters[0]
    assert initcli.draw(kernel)[0, 0] == pytest.approx(0.1, rel=2**-8)


NO_ARRAY = "not an array of numbers\n  = return an array of numbers of the given shape"
FINITE = "every weight must be finite"
BROKEN = [
    (
        "return np.ones((4, 6))",
        "returned an array of shape (4, 6), not (6, 4), the given shape",
        2,
    ),
    ("return None", f"returned None, {NO_ARRAY}", 2),
    ("return 'abc'", f"returned a str, {NO_ARRAY}", 2),
    ("return np.ones(shape) * 1j", f"returned an array of complex128, {NO_ARRAY}", 2),
    ("return np.full(shape, np.nan)", f"returned NaN; {FINITE}", 2),
    (
        "return np.full(shape, np.inf)",
        f"returned an infinite value; {FINITE}",
        2,
    ),
    ("\n    return 1 / 0", "raised ZeroDivisionError: division by zero", 4),
    ("\n    raise SystemExit(3)", "raised SystemExit: 3", 4),
    ("\n    raise GeneratorExit", "raised GeneratorExit", 4),
    (
        "\n    raise type('Mute', (Exception,), {'__str__': None})",
        "raised initcli_custom.Mute: <exception str() failed>",
        4,
    ),
    ("\n    raise type('Own', (BaseException,), {})('bye')", "raised initcli_custom.Own: bye", 4),
    (
        "return np.full(shape, 1e300)",
        f"returned a value out of the range of float32; {FINITE}",
        2,
    ),
    (
        "\n    def fails(self, *_, **__): 1 / 0\n    return type('A', (), {'__array__': fails})()",
        "raised ZeroDivisionError: division by zero",
        4,
    ),
]


@pytest.mark.parametrize(("body", "reason", "line"), BROKEN, ids=[b[0].strip() for b in BROKEN])
def test_a_result_that_is_no_tensor_names_function_file_and_line(
    tmp_path: Path, body: str, reason: str, line: int
) -> None:
    model = load(tmp_path, f"def mine(shape, dtype=None):\n    {body}\n")
    with pytest.raises(CustomFunctionError) as caught:
        list(initcli.summarize(model))
    place = f"{tmp_path / 'own.py'}:{line}"
    assert str(caught.value) == f"{place}: the initializer 'mine' {reason}"


def test_an_interrupt_of_its_own_is_named_where_a_person_s_is_another(tmp_path: Path) -> None:
    load(tmp_path, "def mine(shape):\n    raise KeyboardInterrupt\n")
    # In a process of its own: a notebook, like this one, cannot tell the two apart.
    command = [sys.executable, "-m", "initcli", "summary", "model.yaml", "--custom", "own.py"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "own.py:3: the initializer 'mine' raised KeyboardInterrupt" in done.stderr
    with pytest.raises(KeyboardInterrupt):
        initcli.draw(
            load(tmp_path, "def mine(shape):\n    raise KeyboardInterrupt\n").parameters[0]
        )


def test_an_error_whose_text_fails_is_told_by_a_command_that_writes(tmp_path: Path) -> None:
    load(tmp_path, "def mine(shape):\n    raise type('Mute', (Exception,), {'__str__': None})\n")
    command = [sys.executable, "-m", "initcli", "export", "model.yaml", "--custom", "own.py"]
    command += ["--out", "mine.npz"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "own.py:3: the initializer 'mine' raised initcli_custom.Mute: <exc" in done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def mine(:\n", "own.py:2: this file cannot be run: SyntaxError: invalid syntax"),
        ("import no_such_module\n", "own.py:2: this file cannot be run: ModuleNotFoundError: No"),
        ("raise SystemExit\n", "own.py:2: this file cannot be run: SystemExit"),
    ],
)
def test_a_file_that_fails_names_its_line(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(CustomFunctionError) as caught:
        load(tmp_path, code)
    assert message in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(CustomFunctionError, match=r"none\.py: cannot be read: No such file"):
        initcli.load(str(ROOT / "sample_configs" / "tour.yaml"), custom=["none.py"])


@pytest.mark.parametrize(
    "code",
    ["def _mine(shape): ...\n", "mine = 3\n", "class mine: ...\n"],
    ids=["private", "no callable", "no callable objects"],
)
def test_what_cannot_be_called_with_a_shape_is_no_initializer(tmp_path: Path, code: str) -> None:
    with pytest.raises(CustomFunctionError, match=r"own\.py: this file defines no initializer"):
        load(tmp_path, code)


def test_the_remedy_for_an_unknown_name_is_what_the_file_defines(tmp_path: Path) -> None:
    code = "from numpy import ones\ndef other(shape): ...\ndef third(shape): ...\n"
    for said in ("mine", "{function: mine}"):
        with pytest.raises(initcli.InvalidSpec) as caught:
            load(tmp_path, code, SPEC.replace("mine", said))
        assert caught.value.errors[0].remedy == "--custom defines 'other' and 'third'"


CALLABLES = {
    "a class": """
class mine:
    def __call__(self, shape, dtype=None):
        return np.full(shape, 3, dtype)
""",
    "a class as Keras has it": """
class mine:
    def __init__(self, scale=3):
        self.scale = scale
    def __call__(self, shape, dtype=None, **kwargs):
        return np.full(shape, self.scale, dtype)
    def get_config(self):
        return {"scale": self.scale}
    @classmethod
    def from_config(cls, config):
        return cls(**config)
""",
    "an inherited call": """
class _Base:
    def __call__(self, shape, dtype=None):
        return np.full(shape, 3, dtype)
class mine(_Base): ...
""",
    "an object": """
class Full:
    def __init__(self, value):
        self.value = value
    def __call__(self, shape, dtype):
        return np.full(shape, self.value, dtype)
mine = Full(3)
""",
    "a bound method": """
class Full:
    def make(self, shape):
        return np.full(shape, 3)
mine = Full().make
""",
    "a partial function": "from functools import partial\nmine = partial(np.full, fill_value=3)\n",
    "a dataclass": """
from dataclasses import dataclass
@dataclass
class mine:
    value: "float" = 3
    def __call__(self, shape, dtype):
        return np.full(shape, self.value, dtype)
""",
    "a lambda": "mine = lambda shape: np.full(shape, 3)\n",
}


@pytest.mark.parametrize("code", CALLABLES.values(), ids=CALLABLES)
def test_whatever_can_be_called_with_a_shape_is_an_initializer(tmp_path: Path, code: str) -> None:
    (kernel, _) = load(tmp_path, code).parameters
    assert str(kernel.initializer) == "mine()"
    np.testing.assert_array_equal(initcli.draw(kernel), np.full((6, 4), 3, np.float32))


def test_a_callable_of_numpy_is_known_by_the_name_it_is_imported_under(tmp_path: Path) -> None:
    code = "from numpy import ones as mine, zeros\n"
    kernel, bias = load(tmp_path, code).parameters
    np.testing.assert_array_equal(initcli.draw(kernel), np.ones((6, 4), np.float32))
    # What a file imports for its own use does not replace an initializer that is built in.
    assert str(bias.initializer) == "Zeros"


SCALED = """
class Scaled:
    def __init__(self, scale, seed=None):
        self.scale, self.seed = scale, seed
    def __call__(self, shape, dtype=None):
        return np.random.default_rng(self.seed).standard_normal(shape) * self.scale
"""


def test_arguments_of_a_class_are_those_of_its_constructor(tmp_path: Path) -> None:
    def kernel(initializer: str, seed: int = 0) -> initcli.Parameter:
        return load(tmp_path, SCALED, SPEC.replace("mine", initializer), seed).parameters[0]

    one, two = kernel("{type: Scaled, scale: 1}"), kernel("{type: Scaled, scale: 2}")
    assert str(two.initializer) == "Scaled(scale=2)"
    # Without a seed of its own, an object receives one that follows from the model's.
    np.testing.assert_allclose(initcli.draw(two), 2 * initcli.draw(one), rtol=1e-6)
    assert not np.array_equal(
        initcli.draw(one), initcli.draw(kernel("{type: Scaled, scale: 1}", 1))
    )
    own = kernel("{type: Scaled, scale: 1, seed: 7}")
    expected = np.random.default_rng(7).standard_normal((6, 4)).astype(np.float32)
    np.testing.assert_array_equal(initcli.draw(own), expected)
    for said, message in (
        ("Scaled", "the initializer 'Scaled' needs `scale`"),
        ("{type: Scaled, scael: 1}", "the initializer 'Scaled' takes no `scael`"),
    ):
        with pytest.raises(initcli.InvalidSpec, match=message):
            kernel(said)


def test_a_keras_file_gives_a_class_its_arguments(tmp_path: Path) -> None:
    own = {"class_name": "Scaled", "registered_name": "My>Scaled", "config": {"scale": 2}}
    config = {"units": 4, "kernel_initializer": own, "batch_input_shape": [None, 6]}
    text = json.dumps(
        {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": config}]}
    )
    kernel = load(tmp_path, SCALED, text).parameters[0]
    assert str(kernel.initializer) == "Scaled(scale=2)"


def test_the_line_of_an_error_in_a_class_is_that_of_the_file(tmp_path: Path) -> None:
    code = "class mine:\n    def __call__(self, shape):\n        return 1 / 0\n"
    with pytest.raises(CustomFunctionError, match=r"own\.py:4: the initializer 'mine' raised Zero"):
        initcli.draw(load(tmp_path, code).parameters[0])
    partial = load(
        tmp_path, "from functools import partial\nmine = partial(np.full, fill_value=np.nan)\n"
    )
    with pytest.raises(CustomFunctionError, match=r"own\.py: the initializer 'mine' returned NaN"):
        initcli.draw(partial.parameters[0])


def test_a_sequence_of_unequal_lengths_is_no_array(tmp_path: Path) -> None:
    model = load(tmp_path, "def mine(shape):\n    return [[1, 2], [3]]\n")
    with pytest.raises(CustomFunctionError, match=r"own\.py:2: .* raised ValueError: "):
        initcli.draw(model.parameters[0])


def test_without_the_flag_the_error_mentions_it() -> None:
    with pytest.raises(initcli.InvalidSpec, match=r"--custom FILE\.py"):
        initcli.parse(SPEC)


def test_a_function_wins_over_a_recipe_and_the_summary_says_so() -> None:
    command = [sys.executable, "-m", "initcli", "summary", "sample_configs/tour.yaml"]
    custom = ["--custom", "sample_configs/my_inits.py"]
    done = subprocess.run(
        [*command, *custom], capture_output=True, encoding="utf-8", cwd=ROOT, check=True
    )
    said = "the initializer 'my_init' is the function of --custom"
    assert said in done.stdout
    assert said in done.stderr
    assert "my_init()" in done.stdout
    plain = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, check=True)
    assert said not in plain.stdout + plain.stderr


def test_the_sample_functions_run() -> None:
    samples = ROOT / "sample_configs"
    model = initcli.load(str(samples / "tour_custom.yaml"), custom=[str(samples / "my_inits.py")])
    assert initcli.totals(model).params == 3088 + 31808 + 4160
    kernel = initcli.draw(model.parameters[0])
    assert set(np.unique(kernel)) == {np.float32(-0.1), np.float32(0.1)}
    assert kernel[0, 0, 0] == -kernel[0, 0, 1] == -kernel[1, 0, 0]


@pytest.mark.parametrize(
    "spec",
    [
        "custom: own.py\n" + SPEC,
        SPEC.replace("mine", "{type: Custom, name: mine, function: print}"),
        "input_shape: !!python/name:os.system [6]\nlayers: [{type: ReLU}]\n",
    ],
)
def test_a_spec_alone_runs_nothing(spec: str) -> None:
    with pytest.raises(initcli.InvalidSpec):
        initcli.parse(spec)


def test_json_says_which_function_filled_a_tensor(tmp_path: Path) -> None:
    from initcli.reports.record import json_text
    from initcli.reports.summary import SummaryReport

    model = load(tmp_path, "def mine(shape):\n    return np.ones(shape)\n")
    report = json.loads(json_text(SummaryReport.of(model, initcli.summarize(model))))
    kernel = report["tensors"][0]
    assert kernel["initializer"] == {"type": "mine"}
    assert kernel["distribution"] is None
    assert kernel["fit"] is None
    assert kernel["measured"]["mean"] == 1.0


WITH_ARGUMENTS = """
import numpy as np

def fixup(shape, dtype=None, rng=None, *, depth, scale=0.5):
    return (rng.standard_normal(shape) * scale / depth).astype(dtype)

fixup.distribution = {"type": "RandomNormal", "stddev": 0.5}

def anything(shape, **others):
    others.pop("dtype"), others.pop("rng")
    return np.full(shape, sum(others.values()))
"""


def with_arguments(tmp_path: Path, initializer: str, recipes: str = "{}") -> initcli.Model:
    (tmp_path / "own.py").write_text(WITH_ARGUMENTS, "utf-8")
    spec = tmp_path / "model.yaml"
    layer = f"{{type: Dense, units: 50, kernel_initializer: {initializer}}}"
    spec.write_text(f"input_shape: [50]\ninitializers: {recipes}\nlayers: [{layer}]\n", "utf-8")
    return initcli.load(str(spec), custom=[str(tmp_path / "own.py")])


def test_a_function_receives_its_arguments(tmp_path: Path) -> None:
    whole = with_arguments(tmp_path, "{type: fixup, depth: 1, scale: 1}").parameters[0]
    part = with_arguments(tmp_path, "{type: fixup, depth: 4, scale: 1}").parameters[0]
    assert str(part.initializer) == "fixup(depth=4, scale=1)"
    assert part.initializer.arguments == {"depth": 4, "scale": 1}
    np.testing.assert_allclose(4 * initcli.draw(part), initcli.draw(whole), rtol=1e-6)
    # What was declared is the distribution of no argument.
    assert part.distribution is None


def test_a_recipe_can_be_a_function_with_arguments(tmp_path: Path) -> None:
    recipe = "{mine: {type: anything, low: 1, high: 2.5}}"
    for said in ("mine", "{type: mine}"):
        kernel = with_arguments(tmp_path, said, recipe).parameters[0]
        assert np.all(initcli.draw(kernel) == 3.5)


@pytest.mark.parametrize(
    ("initializer", "message", "remedy"),
    [
        ("fixup", "the initializer 'fixup' needs `depth`", "such as {type: fixup, depth: 1}"),
        (
            "{type: fixup, deph: 2}",
            "the initializer 'fixup' takes no `deph`",
            "did you mean 'depth'?",
        ),
        (
            "{type: fixup, depth: 2, rng: 3}",
            "the initializer 'fixup' takes no `rng`",
            "it takes `depth` and `scale`",
        ),
        (
            "{type: mine, value: 2}",
            "'mine' is a recipe, and takes no arguments",
            "write the type that it has, with all arguments",
        ),
    ],
)
def test_arguments_that_a_function_does_not_take(
    tmp_path: Path, initializer: str, message: str, remedy: str
) -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        with_arguments(tmp_path, initializer, "{mine: ones}")
    (error,) = caught.value.errors
    assert (error.message, error.remedy) == (message, remedy)
    assert error.place is not None
    assert error.place.line == 3

"""What a shell completes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.paths import TOUR
from support.running import run, run_process


def completed(*words: str) -> list[str]:
    """What bash is told when the tab key is pressed behind these words."""
    done = run(**pressed(*words))
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def pressed(*words: str) -> dict[str, Any]:
    """The environment in which bash asks."""
    return {
        "_INITCLI_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("initcli", *words)),
        "COMP_CWORD": str(len(words)),
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("su",), ["summary"]),
        (("summary", "--form"), ["--format"]),
        (("summary", str(TOUR), "--format", "j"), ["json", "jsonl"]),
        (("catalog", "MaxPooli"), ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"]),
        (("catalog", "he_"), ["he_normal", "he_uniform"]),
        (
            ("compare", str(TOUR), "--kernel-initializer", "glorot_"),
            ["glorot_normal", "glorot_uniform"],
        ),
        (("compare", str(TOUR), "--kernel-initializer", "zeros,he_n"), ["zeros,he_normal"]),
        (("compare", str(TOUR), "--activation", "relu6,ta"), ["relu6,tanh", "relu6,tanh_shrink"]),
        (("compare", str(TOUR), "--defaults", "keras,"), ["keras,flax", "keras,torch"]),
        (("summary", str(TOUR), "--defaults", "t"), ["torch"]),
        (("check", str(TOUR), "--select", "I101,I30"), [f"I101,I30{n}" for n in range(1, 6)]),
        (("summary", str(TOUR), "--filter", "dense_1/"), ["dense_1/bias", "dense_1/kernel"]),
        (("summary", str(TOUR), "--set", "layers.3.u"), ["layers.3.units="]),
        (
            ("summary", str(TOUR), "--set", "layers.3.activation=sig"),
            ["layers.3.activation=sigmoid"],
        ),
        (
            ("summary", str(TOUR), "--set", "layers.3.kernel_initializer=he_"),
            ["layers.3.kernel_initializer=he_normal", "layers.3.kernel_initializer=he_uniform"],
        ),
        (("summary", "no_such_file", "--filter", "dense"), []),
    ],
)
def test_the_shell_completes(words: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(completed(*words)) == sorted(expected)


def test_a_process_of_its_own_completes_every_command() -> None:
    assert set(run_process(**pressed("")).stdout.splitlines()) >= {
        "summary",
        "hist",
        "signal",
        "compare",
        "check",
        "export",
        "catalog",
    }


SIGNS = {
    "bash": "complete -o default",
    "zsh": "#compdef initcli",
    "fish": "complete --command initcli",
    "powershell": "Register-ArgumentCompleter",
    "pwsh": "Register-ArgumentCompleter",
}


@pytest.mark.parametrize("shell", SIGNS)
def test_completion_is_for_the_shell_that_is_named(shell: str) -> None:
    shown = run("--show-completion", shell)
    assert shown.returncode == 0
    assert SIGNS[shell] in shown.stdout
    assert "_INITCLI_COMPLETE" in shown.stdout


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/initcli.sh"),
        ("zsh", ".zfunc/_initcli"),
        ("fish", ".config/fish/completions/initcli.fish"),
    ],
)
def test_completion_is_installed_for_the_shell_that_is_named(
    shell: str, file: str, tmp_path: Path
) -> None:
    home: dict[str, Any] = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    assert run("--install-completion", shell, **home).returncode == 0
    assert SIGNS[shell] in (tmp_path / file).read_text()


def test_a_shell_that_is_not_known_or_not_there_is_an_error(tmp_path: Path) -> None:
    unknown = run("--show-completion", "tcsh")
    assert unknown.returncode == 2
    assert "'tcsh' is not one of bash, zsh, fish" in unknown.stderr
    absent = run("--install-completion", "pwsh", PATH=str(tmp_path))
    assert absent.returncode == 2
    assert "cannot be installed" in absent.stderr

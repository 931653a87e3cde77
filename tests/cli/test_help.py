"""The help: summaries, examples, groups of options, and topics."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from initcli.cli.app import app
from support.running import run

COMMANDS = list(get_command(app).commands)  # type: ignore[attr-defined]


def section(text: str, title: str) -> list[str]:
    """The lines of a section of a help text."""
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[0].splitlines()


def examples(command: str) -> list[str]:
    return [line.strip() for line in section(run(command, "--help").stdout, "Examples")]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_list_of_commands_has_whole_summaries(width: int) -> None:
    text = run("--help", width=width).stdout
    assert "..." not in "\n".join(section(text, "Commands"))
    listed = " ".join(" ".join(section(text, "Commands")).split())
    for command in COMMANDS:
        summary = run(command, "--help").stdout.split("\n\n")[1]
        assert " ".join(summary.split()) in listed
    if width == 80:
        assert len(section(text, "Commands")) == len(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_examples_that_work(command: str, tmp_path: Path) -> None:
    if command != "init":
        assert run("init", cwd=tmp_path).returncode == 0
        stored = ("export", "model.yaml", "--out", "model.safetensors")
        assert run(*stored, cwd=tmp_path).returncode == 0
    else:
        (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}')
    shown = examples(command)
    assert len(shown) >= 2
    for example in shown:
        program, *arguments = shlex.split(example)
        assert (program, arguments[0]) == ("initcli", command)
        # What takes long is made short.
        if arguments[-1] == "--html":
            arguments += ["--filter", "stem/*"]
        if "--steps" in arguments:
            arguments += ["--draws", "1", "--batch", "8"]
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 0, (example, done.stderr)
        assert done.stdout or "--diff" in arguments


def test_options_that_commands_share_have_groups() -> None:
    text = run("summary", "--help").stdout
    assert any("--seed" in line for line in section(text, "Model"))
    assert any("--jobs" in line for line in section(text, "Sampling"))
    assert any("--quiet" in line for line in section(text, "General"))
    assert not any("--seed" in line for line in section(text, "Options"))
    assert any("--format" in line for line in section(text, "Options"))


def test_help_has_topics() -> None:
    assert run("help").stdout == run("--help").stdout
    for command in COMMANDS:
        assert run("help", command).stdout == run(command, "--help").stdout
    keys = [line.split()[0] for line in section(run("help", "spec").stdout, "Keys")]
    assert {"layers", "input_shape", "seed", "defaults", "extends"} <= set(keys)
    wrong = run("help", "sumary")
    assert wrong.returncode == 2
    assert "did you mean 'summary'?" in wrong.stderr

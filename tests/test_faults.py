"""Faults: kills, full disks, two runs at once, and places where nothing can be written."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from initcli import files
from initcli.errors import OutputError
from initcli.files import rewrite, write_whole, written_whole
from support.quick_runs import FORKS, Done, QuickRuns

LEFTOVER = re.compile(r"\.initcli-[0-9a-f]{16}\.tmp")
SMALL = "input_shape: [8]\nlayers: [{type: Dense, units: 4}]\n"
LARGE = "input_shape: [700]\nlayers: [{type: Dense, units: 300}, {type: Dense, units: 900}]\n"
FAULTY = (
    "input_shape: [8]\n"
    "layers: [{type: Dense, units: 16, kernel_initializer: ones}, {type: Dense, units: 4}]\n"
    f"# {'long ' * 1000}\n"
)


@pytest.fixture(scope="module")
def runs() -> Iterator[QuickRuns]:
    runs = QuickRuns()
    yield runs
    runs.close()


class Command(NamedTuple):
    """A command that writes, into a folder, what a spec of that text gives."""

    arguments: tuple[str, ...]
    out: str
    text: str
    kills: int

    def on(self, folder: Path, spec: Path, defaults: str = "keras") -> tuple[str | Path, ...]:
        if self.arguments[0] == "check":
            return (*self.arguments, folder / self.out)
        return (*self.arguments, spec, "--defaults", defaults, "--out", folder / self.out)

    def prepare(self, folder: Path) -> None:
        """What must be there before it runs."""
        if self.arguments[0] == "check":
            (folder / self.out).write_text(self.text, "utf-8")


COMMANDS = [
    Command(("hist", "--jobs", "1"), "", SMALL, 4),
    Command(("export",), "w.npz", LARGE, 14),
    Command(("export",), "w.safetensors", LARGE, 10),
    Command(("signal", "--theory"), "s.png", SMALL, 4),
    Command(("check", "--fix", "--theory"), "spec.yaml", FAULTY, 8),
]
every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.out or "hist")


def leftovers(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if LEFTOVER.fullmatch(each.name)]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder but those that a kill may leave."""
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if not LEFTOVER.fullmatch(each.name)
    }


def assert_reads(file: Path) -> None:
    """A library of the file's kind takes it as whole."""
    if file.suffix == ".png":
        with Image.open(file) as image:
            image.load()
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays)


# ------------------------------------------------------------------------ kills


@every_command
def test_a_kill_at_any_instant_leaves_whole_files_and_the_next_run_repairs(
    runs: QuickRuns, tmp_path: Path, command: Command
) -> None:
    spec, folder = tmp_path / "model.yaml", tmp_path / "out"
    spec.write_text(command.text, "utf-8")
    folder.mkdir()
    # What whole files are: those of runs that nobody disturbed.
    whole: list[dict[str, bytes]] = []
    for defaults in ("keras", "torch"):
        undisturbed = tmp_path / defaults
        undisturbed.mkdir()
        command.prepare(undisturbed)
        if command.arguments[0] == "check" and not whole:
            whole.append(contents(undisturbed))
            continue
        done = runs.run(*command.on(undisturbed, spec, defaults), at_line=0)
        assert done.status == 0, done.stderr
        for file in undisturbed.iterdir():
            assert_reads(file)
        whole.append(contents(undisturbed))
    assert whole[0] != whole[1]

    moments = random.Random(command.out)
    kills = command.kills if FORKS else 4
    for turn in range(kills):
        command.prepare(folder)
        # One instant in each of as many equal parts of the run.
        instant = (turn + moments.random()) / kills
        when: dict[str, Any] = {"after": instant * done.seconds}
        if turn % 2 and FORKS:
            when = {"at_line": max(round(instant * done.lines), 1)}
        killed = runs.run(*command.on(folder, spec, moments.choice(["keras", "torch"])), **when)
        assert killed.status in (-9, 0) or not FORKS, killed.stderr
        for name, content in contents(folder).items():
            assert content in (whole[0][name], whole[1][name]), f"{name} is not whole"
    for line in range(done.lines // 3, done.lines, 4):
        # A file may be open for few of the lines.
        if leftovers(folder) or not FORKS:
            break
        runs.run(*command.on(folder, spec), at_line=line)
    left = leftovers(folder)
    assert left or not FORKS, "no kill came while a file was written"

    command.prepare(folder)
    for name in left:
        os.utime(folder / name, (0, 0))
    assert runs.run(*command.on(folder, spec, "torch")).status == 0
    assert leftovers(folder) == []
    assert contents(folder) == whole[1]


def test_only_temporary_files_of_runs_long_ended_are_removed(tmp_path: Path) -> None:
    stale, fresh, others = (tmp_path / f".initcli-{name}.tmp" for name in ("0" * 16, "1" * 16, "a"))
    for each in (stale, fresh, others):
        each.write_bytes(b"half")
    for each in (stale, others):
        os.utime(each, (0, 0))
    with written_whole(tmp_path / "w") as stream:
        stream.write(b"whole")
        assert {*tmp_path.iterdir()} == {fresh, others, Path(stream.name)}
    assert {*tmp_path.iterdir()} == {fresh, others, tmp_path / "w"}
    assert (tmp_path / "w").read_bytes() == b"whole"


# ------------------------------------------------------------------------ a person's own file


def test_a_rewritten_file_keeps_what_it_is(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(b"\xef\xbb\xbfold\r\n")
    spec.chmod(0o640)
    os.utime(spec, (1, 1))
    if os.name == "posix" and os.geteuid() == 0:
        os.chown(spec, 1234, 5678)
    before = spec.stat()
    link = spec
    if os.name == "posix":
        link = tmp_path / "link.yaml"
        link.symlink_to(spec.name)
    rewrite(link, "old\r\n", "new\r\n")
    assert spec.read_bytes() == b"\xef\xbb\xbfnew\r\n"
    after = spec.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        *(before.st_mode, before.st_uid, before.st_gid),
    )
    assert after.st_mtime > 1
    assert link.is_symlink() or link == spec


def test_what_a_person_saves_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("newer", "utf-8")
    with pytest.raises(OutputError, match="another program changed it meanwhile"):
        rewrite(spec, "old", "mended")
    assert spec.read_text("utf-8") == "newer"
    assert list(tmp_path.iterdir()) == [spec]


@pytest.mark.parametrize("function", ["os.fsync", "os.replace", "shutil.copymode"])
def test_a_rewrite_that_fails_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spec = tmp_path / "spec.yaml"
    spec.write_text("old", "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(function, failing)
        with pytest.raises(OutputError, match="Input/output error"):
            rewrite(spec, "old", "new")
    assert spec.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [spec]


def test_the_new_text_is_on_the_disk_before_it_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("old", "utf-8")
    synced: list[str] = []

    def watched(descriptor: int) -> None:
        synced.append(spec.read_text("utf-8"))
        assert os.fstat(descriptor).st_size == len("newer")

    monkeypatch.setattr(os, "fsync", watched)
    rewrite(spec, "old", "newer")
    assert synced == ["old"]
    assert spec.read_text("utf-8") == "newer"


# ------------------------------------------------------------------------ disks and folders


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A disk of 64 KiB in place of a folder, where that is allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "initcli", str(folder)]
    if (
        sys.platform != "linux"
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


def assert_one_line(done: Done, *said: str) -> None:
    assert done.status == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for each in said:
        assert each in done.stderr


@every_command
def test_a_full_disk_is_one_error_and_leaves_no_part_of_a_file(
    runs: QuickRuns, tmp_path: Path, disk: Path, command: Command
) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(SEVERAL if command.out == "" else BRIM, "utf-8")
    command.prepare(disk)
    if command.out in ("s.png", "spec.yaml"):
        fill(disk / "others")
    before = contents(disk)
    done = runs.run(*command.on(disk, spec))
    assert_one_line(done, "No space left on device", str(disk / command.out))
    assert leftovers(disk) == []
    if command.out:
        assert contents(disk) == before
        return
    written = [Path(line) for line in done.stdout.splitlines()]
    assert 0 < len(written) < 7, "some of its pictures fit"
    assert {*written} == {*disk.iterdir()}
    for file in written:
        assert_reads(file)


@pytest.mark.parametrize("command", COMMANDS[1:3], ids=lambda c: c.out)
def test_a_file_of_more_than_half_a_disk_fits(
    runs: QuickRuns, tmp_path: Path, disk: Path, command: Command
) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(BRIM.replace("1820", "1400"), "utf-8")
    done = runs.run(*command.on(disk, spec))
    assert (done.status, done.stderr) == (0, "")
    assert (disk / command.out).stat().st_size > 9 * 1400 * 4


SEVERAL = f"input_shape: [8]\nlayers: [{', '.join(['{type: Dense, units: 40}'] * 3)}]\n"
# Its weights are 16 bytes less than the disk, and a file has more than them.
BRIM = "input_shape: [8]\nlayers: [{type: Dense, units: 1820}]\n"


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as others:
        try:
            while others.write(bytes(512)):
                pass
        except OSError:
            return


@every_command
@pytest.mark.skipif(not FORKS, reason="limits a forked process")
def test_a_file_that_is_cut_short_is_one_error_and_leaves_no_part_of_it(
    runs: QuickRuns, tmp_path: Path, command: Command
) -> None:
    spec, out = tmp_path / "model.yaml", tmp_path / "out"
    spec.write_text(command.text, "utf-8")
    out.mkdir()
    command.prepare(out)
    before = contents(out)
    done = runs.run(*command.on(out, spec), limit=3000)
    assert_one_line(done, "cannot be written: ", "File too large", str(out / command.out))
    assert contents(out) == before
    assert leftovers(out) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody can write, with a spec that anybody can."""
    folder = tmp_path / "read-only"
    if os.name == "posix" and os.geteuid():
        folder.mkdir()
        (folder / "spec.yaml").write_text(FAULTY, "utf-8")
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
    else:  # a root's modes are no hindrance
        with mounted(folder):
            (folder / "spec.yaml").write_text(FAULTY, "utf-8")
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            yield folder


@every_command
def test_a_folder_that_is_read_only_is_one_error(
    runs: QuickRuns, tmp_path: Path, read_only: Path, command: Command
) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(command.text, "utf-8")
    done = runs.run(*command.on(read_only, spec))
    assert_one_line(done, str(read_only / command.out), "ead-only" if os.geteuid() == 0 else "")
    assert (read_only / "spec.yaml").read_text("utf-8") == FAULTY
    assert [each.name for each in read_only.iterdir()] == ["spec.yaml"]


def _file(place: Path) -> None:
    place.write_text("mine")


def _dangling(place: Path) -> None:
    place.symlink_to(place.with_name("nowhere"))


def _loop(place: Path) -> None:
    place.symlink_to(place)


def _device(place: Path) -> None:
    place.symlink_to("/dev/null")


OUT_OF_REACH = [
    # place, what is there, said of a folder, said of a file (None where it can be written)
    ("w", _file, "is not a folder", None),
    ("w", Path.mkdir, None, "it is a folder"),
    ("w", _dangling, "is not a folder", None),
    ("w", _loop, "is not a folder", None),
    ("w", _device, "is not a folder", "it is not a regular file"),
    ("w", lambda place: os.mkfifo(place), "is not a folder", "it is not a regular file"),
    ("file/w", lambda place: _file(place.parent), "file is not a folder", "there is no folder"),
    ("file/in/w", lambda place: _file(place.parents[1]), "is not a folder", "there is no folder"),
    ("n" * 300, lambda _: None, "name too long", "name too long"),
    ("missing/w", lambda _: None, None, "there is no folder"),
    ("a\nb/w", lambda place: _file(place.parent), r"a\nb", r"a\nb"),
    ("w\0", lambda _: None, "null byte", "null byte"),
]


@pytest.mark.skipif(os.name == "nt", reason="has links and pipes of POSIX")
@pytest.mark.parametrize(("name", "there", "of_folder", "of_file"), OUT_OF_REACH)
def test_a_place_that_cannot_be_had_is_one_error(
    tmp_path: Path, name: str, there: Any, of_folder: str | None, of_file: str | None
) -> None:
    for said, make in (
        (of_folder, files.make_folder),
        (of_file, lambda place: write_whole(place, b"whole")),
    ):
        root = tmp_path / make.__name__.strip("<>")
        root.mkdir()
        place = root / name
        there(place)
        before = sorted(root.rglob("*"))
        if said is None:
            make(place)
            assert place.is_dir() or place.read_bytes() == b"whole"
            continue
        with pytest.raises(OutputError) as raised:
            make(place)
        assert said.lower() in str(raised.value).lower()
        assert str(raised.value).isprintable()
        assert sorted(root.rglob("*")) == before


# ------------------------------------------------------------------------ several at once


def test_two_runs_into_one_folder_do_not_corrupt_each_other(
    runs: QuickRuns, tmp_path: Path
) -> None:
    first, second, out = (tmp_path / name for name in ("a.yaml", "b.yaml", "out"))
    first.write_text(SMALL, "utf-8")
    second.write_text(SMALL.replace("type: Dense", "name: other, type: Dense"), "utf-8")
    both = ["keras", "torch"]
    whole = []
    for defaults in both:
        runs.run(*COMMANDS[0].on(tmp_path / defaults, first, defaults))
        whole.append(contents(tmp_path / defaults))
    for specs in ([first, first], [first, second]):
        orders = [COMMANDS[0].on(out, spec, each) for spec, each in zip(specs, both, strict=True)]
        for done in runs.together(orders):
            assert (done.status, done.stderr) == (0, "")
            assert all(Path(line).is_file() for line in done.stdout.splitlines())
        for name, content in contents(out).items():
            if name in whole[0] and specs == [first, first]:
                assert content in (whole[0][name], whole[1][name])
            assert_reads(out / name)
        assert leftovers(out) == []


@pytest.mark.parametrize("command", COMMANDS[1:3], ids=lambda c: c.out)
def test_of_two_runs_into_one_file_the_last_one_wins(
    runs: QuickRuns, tmp_path: Path, command: Command
) -> None:
    spec, out = tmp_path / "model.yaml", tmp_path / "out"
    spec.write_text(LARGE, "utf-8")
    out.mkdir()
    whole = []
    for defaults in ("keras", "torch"):
        assert runs.run(*command.on(out, spec, defaults)).status == 0
        whole.append(contents(out))
    for _ in range(2):
        together = runs.together([command.on(out, spec, each) for each in ("keras", "torch") * 2])
        assert {(done.status, done.stderr) for done in together} == {(0, "")}
        assert contents(out) in whole
        assert leftovers(out) == []


def test_a_spec_that_two_runs_mend_at_once_is_mended(runs: QuickRuns, tmp_path: Path) -> None:
    command = COMMANDS[4]
    command.prepare(tmp_path)
    together = runs.together([command.on(tmp_path, tmp_path)] * 3)
    assert 0 in {done.status for done in together}
    for done in together:
        assert done.status == 0 or "another program changed it meanwhile" in done.stderr
    assert runs.run("check", "--theory", tmp_path / command.out).stdout == "Nothing found.\n"
    assert leftovers(tmp_path) == []


# ------------------------------------------------------------------------ streams that are full


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@needs_full
@pytest.mark.parametrize(
    "arguments",
    [
        *(["summary", "{}"], ["summary", "{}", "--format", "json"], ["hist", "{}", "--out", "h"]),
        *(["export", "{}", "--out", "w.npz"], ["signal", "{}"], ["compare", "{}", "--theory"]),
        *(["check", "{}"], ["check", "{}", "--diff"], ["catalog"], ["schema"], ["init", "-"]),
    ],
    ids=" ".join,
)
def test_standard_output_that_is_full_is_one_error(
    runs: QuickRuns, tmp_path: Path, arguments: list[str]
) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(FAULTY, "utf-8")
    given = [str(tmp_path / each) if each in ("h", "w.npz") else each for each in arguments]
    done = runs.run(*(each.format(spec) for each in given), stdout=str(FULL))
    assert_one_line(done, "standard output cannot be written: No space left on device")
    for file in tmp_path.glob("h/*"):
        assert_reads(file)


FORMATS = ("table", "json", "jsonl", "csv", "markdown")
PRINTING = [
    # Each command in two formats, and each format.
    *(
        [command, "{}", "--theory", "--format", FORMATS[(2 * number + shift) % 5]]
        for number, command in enumerate(("summary", "signal", "compare", "check"))
        for shift in (0, 1)
    ),
    ["check", "{}", "--theory", "--format", "github"],
    ["check", "{}", "--theory", "--diff"],
    ["check", "--explain", "I101"],
    *(["catalog", "--format", form] for form in FORMATS),
    *(["schema"], ["init", "-"], ["hist", "{}"], ["--help"], ["summary", "--help"]),
]


@pytest.mark.skipif(not FORKS, reason="limits a forked process")
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_standard_output_that_is_cut_short_is_one_error(
    runs: QuickRuns, tmp_path: Path, arguments: list[str]
) -> None:
    spec = tmp_path / "model.yaml"
    spec.write_text(FAULTY, "utf-8")
    out = tmp_path / "stdout"
    done = runs.run(*(each.format(spec) for each in arguments), limit=60, stdout=str(out))
    assert_one_line(done, "standard output cannot be written: File too large")
    assert out.stat().st_size == 60


@pytest.mark.parametrize("arguments", [("summary", "--theory"), ("signal", "--theory")])
def test_standard_output_on_a_disk_that_fills_is_one_error(
    runs: QuickRuns, tmp_path: Path, disk: Path, arguments: tuple[str, ...]
) -> None:
    spec = tmp_path / "model.yaml"
    layer = "{type: Dense, units: 4}"
    spec.write_text(f"input_shape: [4]\nlayers: [{{repeat: 300, layers: [{layer}]}}]\n", "utf-8")
    command, *options = arguments
    done = runs.run(command, spec, *options, "--format", "json", stdout=str(disk / "out"))
    assert_one_line(done, "standard output cannot be written: No space left on device")
    assert (disk / "out").stat().st_size == 64 << 10


# ------------------------------------------------------------------------ links


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("name", ["w.npz", "w.safetensors", "s.png"])
def test_a_link_that_a_person_names_is_written_through(
    runs: QuickRuns, tmp_path: Path, name: str
) -> None:
    spec, target = tmp_path / "model.yaml", tmp_path / "elsewhere" / name
    spec.write_text(SMALL, "utf-8")
    target.parent.mkdir()
    link = tmp_path / name
    command: list[str | Path] = (
        ["signal", spec, "--theory"] if name == "s.png" else ["export", spec]
    )
    for there in (False, True):  # first to nothing, then to a file
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert target.exists() == there
        assert runs.run(*command, "--out", link).status == 0
        assert link.is_symlink()
        assert target.stat().st_size > 100
        assert [each.name for each in target.parent.iterdir()] == [name]


def test_a_spec_of_several_names_is_not_torn_apart(runs: QuickRuns, tmp_path: Path) -> None:
    spec, other = tmp_path / "spec.yaml", tmp_path / "other.yaml"
    spec.write_text(FAULTY, "utf-8")
    try:
        other.hardlink_to(spec)
    except OSError:
        pytest.skip("no hard links can be made here")
    done = runs.run("check", "--fix", "--theory", spec)
    assert done.status == 2
    assert "it has several names (hard links)" in done.stderr
    assert spec.samefile(other)
    assert spec.read_text("utf-8") == FAULTY
    other.unlink()
    assert runs.run("check", "--fix", "--theory", spec).status != 2
    assert spec.read_text("utf-8") != FAULTY


# ------------------------------------------------------------------------ processes that fail


def outcome(program: str, *arguments: str) -> str:
    """What a program of its own prints: one that would hang is a failure, and not the end."""
    beginning = (
        "import os, signal, sys, time\n"
        "from initcli.errors import WorkersError\n"
        "from initcli.sampling.workers import processes\n\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", beginning + program, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")


@needs_fork
def test_a_process_that_is_killed_while_work_is_handed_out_is_a_clear_error() -> None:
    program = """
def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)

def slowly():
    for number in range(1000):
        time.sleep(0.005)
        yield number

try:
    with processes(2) as chosen:
        list(chosen.in_order(killed, slowly()))
except WorkersError as error:
    print(error)
"""
    assert outcome(program).startswith("the workers failed before their work was done: ")


@needs_fork
def test_a_process_that_is_killed_amid_a_result_is_a_clear_error_and_no_endless_wait() -> None:
    program = """
from multiprocessing.connection import Connection

def half_sent(number):
    def send(self, buffer, *_):
        os.write(self.fileno(), bytes(buffer)[: len(buffer) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    Connection._send = send
    return bytes(10_000)

try:
    with processes(2) as chosen:
        list(chosen.in_order(half_sent, [1]))
except WorkersError as error:
    print(error)
"""
    assert outcome(program).startswith("the workers failed before their work was done: ")


@needs_fork
@pytest.mark.parametrize("started", ["0", "1"])
def test_where_no_more_processes_are_to_be_had_it_is_said(started: str) -> None:
    program = """
fork, started = os.fork, int(sys.argv[1])

def refused():
    global started
    if started == 0:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    started -= 1
    return fork()

os.fork = refused
try:
    with processes(3):
        pass
except WorkersError as error:
    print(error)
"""
    said = (
        "3 processes cannot be started: Resource temporarily unavailable\n  = --jobs 1 needs none\n"
    )
    assert outcome(program, started) == said


@needs_fork
def test_what_a_task_raises_comes_as_it_is_and_ends_the_rest() -> None:
    program = """
def failing(number):
    if number == 3:
        raise MemoryError("no more")
    return number

done = []
try:
    with processes(2) as chosen:
        for share, result in chosen.in_order(failing, range(10**9)):
            done.append(result)
except MemoryError as error:
    print(done, error)
"""
    assert outcome(program) == "[0, 1, 2] no more\n"

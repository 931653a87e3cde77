"""Files that mean harm: archives, other specs, pipes and devices, and arrays."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import initcli
from initcli.errors import SignalError
from initcli.signal.inputs import read_inputs
from initcli.sources.reader import Source
from support.archives import CONFIG, DENSE, archive

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices that have paths")


def encrypted() -> bytes:
    raw = bytearray(archive(("config.json", CONFIG)))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def understated() -> bytes:
    """A bomb that says it is small."""
    raw = bytearray(archive(("config.json", b"0" * 10_000_000)))
    at = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, at + 24, 100)
    return bytes(raw)


BOMB = b"0" * 10_000_000


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: archive(("config.json", BOMB)), "a spec may have at most 8,388,608 bytes"),
        (lambda: archive(("config.json", BOMB), method=zipfile.ZIP_BZIP2), "packed in a way"),
        (lambda: archive(("config.json", BOMB), method=zipfile.ZIP_LZMA), "packed in a way"),
        (understated, "this archive cannot be read|this is not"),
        (encrypted, "this archive cannot be read: .*encrypted"),
        (lambda: archive(("../config.json", CONFIG)), "this archive has no config.json"),
        (lambda: archive(("/config.json", CONFIG)), "this archive has no config.json"),
        (lambda: archive(("config.json/x", CONFIG)), "this archive has no config.json"),
        (lambda: archive(("Config.json", CONFIG)), "this archive has no config.json"),
        (
            lambda: archive(*((f"{i:x}" * 20, b"") for i in range(80_000))),
            "the list of files in this archive has",
        ),
    ],
    ids=[
        "bomb",
        "bomb of bzip2",
        "bomb of lzma",
        "bomb that says it is small",
        "encrypted",
        "path out of the archive",
        "absolute path",
        "folder",
        "other case",
        "too many files",
    ],
)
def test_an_archive_that_means_harm(
    made: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    (tmp_path / "m.keras").write_bytes(made())
    with pytest.raises(initcli.InvalidSpec, match=message):
        initcli.load(str(tmp_path / "m.keras"))
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]


@posix
@pytest.mark.parametrize("content", [DENSE.encode(), archive(("config.json", CONFIG))])
def test_a_spec_comes_through_a_pipe(content: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert len(initcli.load(str(pipe)).parameters) == 2
    writer.join()


@posix
def test_a_device_that_never_ends_is_refused() -> None:
    with pytest.raises(initcli.InvalidSpec, match="at most 8,388,608 bytes"):
        initcli.load("/dev/zero")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a spec, within one that is none of its business, and not the working one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "secret.yaml").write_text(DENSE)
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


def extending(folder: Path, file: str) -> initcli.Model:
    (folder / "spec.yaml").write_text(f"extends: {json.dumps(file)}\n")
    return initcli.load(str(folder / "spec.yaml"))


OUT_OF_REACH = "is neither in the folder of this spec nor in the working folder"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_spec_extends_nothing_out_of_its_folder(folder: Path, absolute: bool) -> None:
    with pytest.raises(initcli.InvalidSpec, match=OUT_OF_REACH):
        extending(folder, str(folder.parent / "secret.yaml") if absolute else "../secret.yaml")


@posix
def test_a_link_leads_nowhere_out_of_the_folder_either(folder: Path) -> None:
    (folder / "link.yaml").symlink_to(folder.parent / "secret.yaml")
    with pytest.raises(initcli.InvalidSpec, match=OUT_OF_REACH):
        extending(folder, "link.yaml")


def test_what_a_spec_extends_reaches_no_further_than_the_spec(folder: Path) -> None:
    (folder / "deeper").mkdir()
    (folder / "deeper" / "base.yaml").write_text("extends: ../../secret.yaml\n")
    with pytest.raises(initcli.InvalidSpec, match=OUT_OF_REACH):
        extending(folder, "deeper/base.yaml")
    (folder / "deeper" / "base.yaml").write_text("extends: ../ground.yaml\n")
    (folder / "ground.yaml").write_text(DENSE)
    assert len(extending(folder, "deeper/base.yaml").parameters) == 2


def test_the_working_folder_is_within_reach(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert len(extending(folder, "../secret.yaml").parameters) == 2


@pytest.mark.parametrize("content", ["root:x:0:0:secret", "secret: [", "- secret", "\tsecret"])
def test_a_file_that_is_no_spec_is_not_shown(folder: Path, content: str) -> None:
    (folder / "passwords").write_text(content)
    with pytest.raises(initcli.InvalidSpec) as caught:
        extending(folder, "passwords")
    assert "secret" not in str(caught.value)
    assert "passwords:" in str(caught.value)


@posix
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_spec_extends_no_pipe_and_no_device(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "pipe":
        os.mkfifo(folder / "pipe")
    else:
        monkeypatch.chdir("/")
    with pytest.raises(initcli.InvalidSpec, match="is a pipe or a device, not a file"):
        extending(folder, "pipe" if kind == "pipe" else "/dev/zero")


@posix
@pytest.mark.parametrize("file", ["loop", "spec.yaml/x", "\0", "x" * 5000])
def test_a_path_that_leads_nowhere(folder: Path, file: str) -> None:
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(initcli.InvalidSpec):
        extending(folder, file)
    if file == "loop":
        with pytest.raises(initcli.InvalidSpec, match=r"cannot be read|no such file"):
            initcli.load(str(folder / file))


def test_a_file_that_changes_while_it_is_read_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("input_shape: [3]\nlayers: [{type: Dens}]\n")
    parsed = Source.parsed

    def vanishing(source: Source, text: str, name: str) -> object:
        file.unlink()
        return parsed(source, text, name)

    monkeypatch.setattr(Source, "parsed", vanishing)
    with pytest.raises(initcli.InvalidSpec, match=r"2 \| layers: \[\{type: Dens\}\]"):
        initcli.load(str(file))


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(**members: bytes) -> bytes:
    return archive(*members.items(), method=zipfile.ZIP_DEFLATED)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([print], object), allow_pickle=True)
    return stream.getvalue()


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n"


@pytest.mark.parametrize(
    "content",
    [
        pickled(),
        b"\x80\x04cos\nsystem\n(S'echo'\ntR.",
        npy(HEADER % b"(1000000000000, 3)"),
        npy(HEADER % b"(-1, 3)"),
        npy(HEADER % (b"(" * 9000)),
        npy(HEADER % b"((((3"),
        npy(b"\xff" * 100),
        npy(b"{'descr': 'V0', 'fortran_order': False, 'shape': (1000000000,), }\n"),
        archive(("x.npy", b"")),
        archive(("input.txt", b"3 4 5")),
        b"PK\x03\x04" + b"\0" * 100,
        encrypted(),
        b"",
    ],
    ids=range(13),
)
def test_arrays_that_mean_harm(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises((SignalError, MemoryError)):
        initcli.measure_signal(
            initcli.parse(DENSE),
            inputs=read_inputs(str(tmp_path / "x.npy"), initcli.parse(DENSE)),
            draws=1,
        )


def test_an_array_that_expands_to_gigabytes_is_refused_before_it_does(tmp_path: Path) -> None:
    raw = bytearray(archive(("input.npy", npy(HEADER % b"(3,)"))))
    at = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, at + 24, 0xFFFFFFF0)
    (tmp_path / "x.npz").write_bytes(raw + b"")
    with initcli.limits.limited(input_bytes=10**9), pytest.raises(SignalError) as caught:
        read_inputs(str(tmp_path / "x.npz"), initcli.parse(DENSE))
    assert "4,294,967,280 bytes, and 1,000,000,000 are allowed" in str(caught.value)
    assert "--limit input_bytes=4294967280 raises it" in str(caught.value)

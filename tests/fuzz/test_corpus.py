"""What the fuzzer kept, read again: each input is a model or an error, and soon."""

from __future__ import annotations

import faulthandler
import time
import zipfile
from pathlib import Path

import pytest

from fuzz.fuzz_readers import FILES, READERS, seeds, try_one, words

CORPUS = Path(__file__).parent / "corpus.zip"
SECONDS = 30
"""A generous bound: none takes a second."""


def kept() -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(CORPUS) as archive:
        return [(name, archive.read(name)) for name in sorted(archive.namelist())]


@pytest.mark.parametrize("kind", [*READERS, *FILES])
def test_the_corpus_reads_without_a_failure(kind: str) -> None:
    chosen = [(name, data) for name, data in kept() if data[:1] == kind.encode()]
    assert chosen
    for name, data in chosen:
        begun = time.perf_counter()
        faulthandler.dump_traceback_later(10 * SECONDS, exit=True)
        try:
            try_one(data)
        except Exception as error:
            error.add_note(f"by the input {name} of {CORPUS.name}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        assert time.perf_counter() - begun < SECONDS, name


def test_the_fuzzer_starts_from_inputs_of_every_kind() -> None:
    kinds = {seed[:1].decode() for seed in seeds()}
    assert kinds | {"l"} == {*READERS, *FILES}
    assert {"Dense", "kernel_initializer", "he_normal", "relu"} <= set(words())

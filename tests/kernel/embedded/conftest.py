"""A project with an embedded server, made once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedplate.kernel import embedded
from tests.kernel.embedded.elsewhere import ATTACHED, NOBODY, attach


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose data exist, so that each test costs a start and not an initdb."""
    folder = tmp_path_factory.mktemp("embedded") / "My Shop"
    folder.mkdir()
    attach(folder).detach()
    yield folder
    embedded.purge(folder)
    assert not (folder / ".bedplate").exists()


@pytest.fixture
def project(made: Path) -> Iterator[Path]:
    yield made
    embedded.stop(made)
    while ATTACHED:
        ATTACHED.pop().detach()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that a plain user owns and can reach."""
    folder = Path(tempfile.mkdtemp(prefix="bp-"))
    if NOBODY is not None:
        os.chown(folder, NOBODY.uid, NOBODY.gid)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

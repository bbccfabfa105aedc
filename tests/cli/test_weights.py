"""What is fetched from a hub: only when asked, and only with the checksum that the hub states."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from topfive.cli.weights import fetch, read_classes
from topfive.errors import BadFile, MissingExtra, Misused


def pretend_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, checksum: str) -> None:
    """A `huggingface_hub` that knows one file."""
    (folder / "w.npz").write_bytes(b"weights")

    class HfApi:
        def get_paths_info(self, repository: str, names: list[str]) -> list[SimpleNamespace]:
            known = repository == "owner/repo" and names == ["sub/w.npz"]
            return [SimpleNamespace(lfs=SimpleNamespace(sha256=checksum))] if known else []

    hub = SimpleNamespace(HfApi=HfApi, hf_hub_download=lambda repository, name: str(folder / "w.npz"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


def test_a_file_of_the_hub_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_hub(monkeypatch, tmp_path, hashlib.sha256(b"weights").hexdigest())
    assert fetch("owner/repo/sub/w.npz") == tmp_path / "w.npz"
    with pytest.raises(BadFile, match="hub:owner/repo/other: could not be fetched"):
        fetch("owner/repo/other")
    with pytest.raises(Misused, match="expected hub:OWNER/REPO/FILE"):
        fetch("owner/repo")
    pretend_hub(monkeypatch, tmp_path, "0" * 64)
    with pytest.raises(BadFile, match="came with another checksum than the hub states"):
        fetch("owner/repo/sub/w.npz")


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'topfive\[hub\]'"):
        fetch("owner/repo/w.npz")


@pytest.mark.parametrize("text", ["", "one\n", "one\none other name\n"])
def test_lists_of_classes_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(BadFile, match=r"names\.txt: expected two classes or more"):
        read_classes(tmp_path / "names.txt")
    with pytest.raises(BadFile, match="cannot be read as a list of classes"):
        read_classes(tmp_path / "none.txt")

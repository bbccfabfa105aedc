"""Every broken image is found and named, and no sound one is."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from topfive.data import Split, find_broken, open_data
from topfive.data import faults as faults_module


def test_broken_images_are_found_in_order_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_module, "AT_ONCE", 4)
    for key in ("a", "b"):
        (tmp_path / "train" / key).mkdir(parents=True)
        (tmp_path / "val" / key).mkdir(parents=True)
        for index in range(5):
            Image.effect_noise((40, 30), 80).save(tmp_path / "train" / key / f"{index}.jpg")
        Image.new("L", (2, 2)).save(tmp_path / "val" / key / "0.png")
    cut = tmp_path / "train" / "b" / "3.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "train" / "a" / "1.jpg").write_text("hello")
    (tmp_path / "train" / "b" / "lost.jpg").symlink_to("nowhere.jpg")
    split = open_data(tmp_path).split("train")
    seen: list[int] = []
    broken = find_broken(split, workers=3, progress=seen.append)
    assert [fault.id for fault in broken] == ["train/a/1.jpg", "train/b/3.jpg", "train/b/lost.jpg"]
    assert ["begins with b'hello'" in broken[0].reason, "truncated" in broken[1].reason] == [True, True]
    assert "No such file" in broken[2].reason
    assert seen == [4, 8, 11]
    assert find_broken(open_data(tmp_path).split("val")) == []


def test_a_split_in_memory_holds_no_broken_image() -> None:
    split = Split(("a#0",), torch.tensor([0]), pixels=torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    assert find_broken(split, progress=lambda *_: pytest.fail("nothing is looked at")) == []

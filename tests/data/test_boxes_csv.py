"""boxes.csv: what is read, what is refused, and that class folders find it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from topfive.data import open_data
from topfive.data.boxes import Box, read_boxes
from topfive.errors import BadData


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("width,ymax,xmax,ymin,xmin,label,file\n9,4,3,2,1,dog,a/1.jpg\n9,8,7,6,5.5,,a/1.jpg\n")
    assert read_boxes(path) == {"a/1.jpg": (Box(1, 2, 3, 4, "dog"), Box(5.5, 6, 7, 8, None))}
    path.write_text("file,xmin,ymin,xmax,ymax\ncafe\u0301/1.jpg,0,0,0,0\n")
    assert read_boxes(path) == {"caf\u00e9/1.jpg": (Box(0, 0, 0, 0, None),)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,x,y,w,h\n", "expected a first line with file,xmin,ymin,xmax,ymax, found no xmin; name the columns"),
        ("", "found no file"),
        (
            "file,xmin,ymin,xmax,ymax\na,0,0,9,9\na,5,0,4,9\n",
            "line 3: expected numbers with 0 <= xmin <= xmax .*'5', '0', '4'",
        ),
        ("file,xmin,ymin,xmax,ymax\na,0,0,9,nan\n", "line 2: expected numbers"),
        ("file,xmin,ymin,xmax,ymax\na,0,0\n", "line 2: expected numbers .*None"),
        ("file,xmin,ymin,xmax,ymax\na,-1,0,2,2\n", "line 2: expected numbers"),
    ],
)
def test_a_line_without_a_box_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(BadData, match=said):
        read_boxes(tmp_path / "boxes.csv")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"boxes\.csv: could not be read .*; give a CSV file with a box a line"):
        read_boxes(tmp_path / "boxes.csv")


@pytest.mark.parametrize("folders", [("train/a", "train/b", "val/a", "val/b"), ("train/a", "train/b"), ("a", "b")])
def test_class_folders_find_the_file_beside_them(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for number, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.full((4, 4), 10 * number + index, np.uint8)).save(tmp_path / folder / f"{index}.png")
    assert open_data(tmp_path).boxes is None
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\n")
    data = open_data(tmp_path)
    assert data.boxes == tmp_path / "boxes.csv"
    assert "boxes.csv says where objects lie" in data.notes
    assert not any("passed over" in note for note in data.notes)

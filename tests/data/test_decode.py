"""Every kind of image file that people have, sound and broken; the oracle is the picture that was drawn."""

import contextlib
import errno
import io
import os
import resource
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torch import Tensor

from topfive.data.decode import FORMATS, IMAGE_ENDINGS, MAX_PIXELS, OF_THE_FILE, decode, has_image_ending, shape
from topfive.errors import BadData, BadFile

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def packed(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixel(image: Tensor, row: int = 0, column: int = 0) -> tuple[int, ...]:
    return tuple(image[:, row, column].tolist())


def png_claiming(width: int, height: int) -> bytes:
    """A sound PNG header of any size, with next to no pixels behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# Sound files


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_drawn_pixels(format: str) -> None:
    drawn = noise(5, 7)
    image = decode(packed(Image.fromarray(drawn), format))
    assert image.dtype == torch.uint8
    assert image.permute(1, 2, 0).tolist() == drawn.tolist()


@pytest.mark.parametrize("name", ["a photo.jpg", "фото.JPEG", "写真 1.Png"])
def test_a_path_with_spaces_and_any_script_is_read(tmp_path: Path, name: str) -> None:
    drawn = noise(4, 6)
    (tmp_path / name).write_bytes(packed(Image.fromarray(drawn), "PNG"))  # the ending may be wrong: content decides
    assert decode(tmp_path / name).permute(1, 2, 0).tolist() == drawn.tolist()
    assert shape(tmp_path / name) == (4, 6)


def test_a_jpeg_is_near_what_was_drawn_and_grey_is_repeated() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    image = decode(packed(Image.fromarray(ramp), "JPEG", quality=95))
    assert image.shape == (3, 48, 64)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert np.abs(image[0].numpy().astype(int) - ramp).max() <= 4


def test_all_eight_exif_orientations_give_the_same_upright_picture(tmp_path: Path) -> None:
    upright = noise(3, 5)
    stored = {  # EXIF: what row 0 and column 0 of the stored picture are, for the person who looks at it
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(1, 0, 2),  # left, top
        6: upright[:, ::-1].transpose(1, 0, 2),  # right, top: row 0 is the right-hand side, read downwards
        7: upright[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
        8: upright[::-1].transpose(1, 0, 2),  # left, bottom
    }
    for format in ("PNG", "TIFF"):
        for orientation, pixels in stored.items():
            exif = Image.Exif()
            exif[274] = orientation
            path = tmp_path / f"{orientation}.{format.lower()}"
            path.write_bytes(packed(Image.fromarray(np.ascontiguousarray(pixels)), format, exif=exif))
            assert decode(path).permute(1, 2, 0).tolist() == upright.tolist(), (format, orientation)
            assert shape(path) == (3, 5), (format, orientation)


def test_exif_turns_a_jpeg_too_and_damaged_exif_leaves_it_as_stored() -> None:
    image = Image.new("RGB", (32, 16), RED)
    exif = Image.Exif()
    exif[274] = 6
    assert decode(packed(image, "JPEG", exif=exif)).shape == (3, 32, 16)
    assert decode(packed(image, "JPEG", exif=b"Exif\0\0 no such thing")).shape == (3, 16, 32)
    wrong_type = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"  # an orientation of "abc"
    assert decode(packed(image, "JPEG", exif=wrong_type)).shape == (3, 16, 32)
    exif[274] = 99
    assert decode(packed(image, "JPEG", exif=exif)).shape == (3, 16, 32)


def test_a_cmyk_jpeg_has_its_printed_colours() -> None:
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), level) for level in (0, 255, 255, 0)])  # magenta + yellow
    red, green, blue = pixel(decode(packed(ink, "JPEG", quality=95)), 8, 8)
    assert red > 240
    assert green < 15
    assert blue < 15


def test_16_bit_grey_keeps_its_high_byte() -> None:
    samples = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    assert decode(packed(Image.fromarray(samples), "PNG")).tolist() == [[[0, 0, 1, 128, 255]]] * 3


def test_32_bit_grey_is_read_as_16_bits_when_it_exceeds_8() -> None:
    wide, narrow = np.array([[0, 300, 65535, 70000]], np.int32), np.array([[0, 7, 255, -5]], np.int32)
    assert decode(packed(Image.fromarray(wide), "TIFF"))[0].tolist() == [[0, 1, 255, 255]]
    assert decode(packed(Image.fromarray(narrow), "TIFF"))[0].tolist() == [[0, 7, 255, 0]]


def test_floating_point_is_clipped() -> None:
    unit, levels = np.array([[-1, 0, 0.5, 1]], np.float32), np.array([[-9, 7.4, np.nan, 1e9]], np.float32)
    assert decode(packed(Image.fromarray(unit), "TIFF"))[0].tolist() == [[0, 0, 128, 255]]
    assert decode(packed(Image.fromarray(levels), "TIFF"))[0].tolist() == [[0, 7, 0, 255]]


def test_one_bit_is_black_and_white() -> None:
    bits = Image.new("1", (2, 1), 0)
    bits.putpixel((1, 0), 1)
    assert decode(packed(bits, "PNG")).tolist() == [[[0, 255]]] * 3


def test_a_palette_becomes_its_colours_and_its_clear_entry_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    for column in range(3):
        image.putpixel((column, 0), column)
    opaque = decode(packed(image, "PNG"))
    assert [pixel(opaque, 0, column) for column in range(3)] == [RED, GREEN, BLUE]
    clear = decode(packed(image, "PNG", transparency=1))
    assert [pixel(clear, 0, column) for column in range(3)] == [RED, WHITE, BLUE]


def test_alpha_is_laid_over_white() -> None:
    image = Image.new("RGBA", (3, 1))
    for column, alpha in enumerate((0, 51, 255)):
        image.putpixel((column, 0), (0, 100, 200, alpha))
    over = decode(packed(image, "PNG"))
    assert pixel(over, 0, 0) == WHITE
    assert pixel(over, 0, 2) == (0, 100, 200)
    assert pixel(over, 0, 1) == (204, 224, 244)  # 0.2 * colour + 0.8 * 255
    assert pixel(decode(packed(Image.new("LA", (2, 2), (0, 51)), "PNG"))) == (204, 204, 204)
    keyed = decode(packed(Image.new("RGB", (2, 2), RED), "PNG", transparency=RED))
    assert pixel(keyed) == WHITE


def test_the_first_frame_of_an_animation_is_the_picture() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for format in ("GIF", "PNG"):
        moving = packed(frames[0], format, save_all=True, append_images=frames[1:], duration=50)
        assert pixel(decode(moving)) == RED, format


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20_000, 2), (2, 20_000)])
def test_extreme_sizes_are_read(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "extreme.png"
    path.write_bytes(packed(Image.new("RGB", (width, height), GREEN), "PNG"))
    assert decode(path).shape == (3, height, width)
    assert shape(path) == (height, width)


# The machine's faults


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened within, as where too many are open; the kernel refuses, not a stand-in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("read", [decode, shape])
def test_too_many_open_files_are_no_fault_of_an_image(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "sound.png"
    path.write_bytes(packed(Image.fromarray(noise(5, 7)), "PNG"))
    with (
        no_more_files(),
        pytest.raises(BadData, match=r"sound\.png: could not be read \(Too many open files\), which lies"),
    ):
        read(path)
    read(path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOMEM, errno.ETIMEDOUT])
def test_a_failing_disk_is_no_fault_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(Path, "read_bytes", failing(OSError(number, os.strerror(number))))
    with pytest.raises(BadData, match=rf"a\.png: could not be read \({os.strerror(number)}\), .*; mend that and begin"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize("number", sorted(OF_THE_FILE))
def test_what_the_system_says_of_a_file_is_the_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(Path, "read_bytes", failing(OSError(number, os.strerror(number))))
    with pytest.raises(BadFile, match=rf"a\.png: expected an image, could not read the file \({os.strerror(number)}\)"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize("read", [decode, shape])
@pytest.mark.parametrize("place", ["open", "Image.getexif"])
def test_lack_of_memory_is_no_fault_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "sound.png"
    path.write_bytes(packed(Image.fromarray(noise(5, 7)), "PNG"))
    monkeypatch.setattr(f"PIL.Image.{place}", failing(MemoryError()))
    with pytest.raises(BadData, match=r"sound\.png: could not be decoded for lack of memory; free some"):
        read(path)


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# Broken files


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, format: str, share: float) -> None:
    whole = packed(Image.fromarray(noise(120, 160)), format)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole)
    assert decode(path).shape == (3, 120, 160)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadFile, match=r"cut\.jpg: is not a readable image \(.+\); put a good copy"):
        decode(path)


def test_half_files_stay_refused_in_the_whole_process() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_what_is_no_image_is_refused_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_text("<!DOCTYPE html> 404 Not Found")
    for read in (decode, shape):
        with pytest.raises(BadFile, match=r"page\.jpg: is not a readable image .*<!DOCTYPE"):
            read(path)
    path.write_bytes(b"")
    for read in (decode, shape):
        with pytest.raises(BadFile, match=r"page\.jpg: .*the file is empty"):
            read(path)
    with pytest.raises(BadFile, match=r"image of 3 bytes: is not a readable image"):
        decode(b"abc")


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (decode, shape):
        with pytest.raises(BadFile, match=r"gone\.jpg: .*No such file.*check that it exists"):
            read(tmp_path / "gone.jpg")
        for name in ("folder.jpg", "pipe.jpg"):
            with pytest.raises(BadFile, match=rf"{name}: .*not a regular file"):
                read(tmp_path / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (10_001, 10_000)])
def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(width, height))
    assert width * height > MAX_PIXELS
    for read in (decode, shape):
        with pytest.raises(BadFile, match=r"bomb\.png: .*more than 100,000,000 px are not decoded"):
            read(path)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_pillows_own_bomb_warning_is_the_same_sentence() -> None:
    with pytest.raises(BadFile, match=r"its header claims a huge picture, and more than 100,000,000 px"):
        decode(png_claiming(12_000, 10_000))


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(BadFile, match="is not a readable image"):
        decode(b"P6 0 4 255\n")


def test_postscript_is_not_opened_since_pillow_would_start_a_program_for_it() -> None:
    assert "EPS" not in FORMATS
    with pytest.raises(BadFile, match="no known image format"):
        decode(packed(Image.new("RGB", (8, 8)), "EPS"))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), format=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
@pytest.mark.filterwarnings("ignore")
def test_any_damage_gives_a_picture_or_bad_file_and_nothing_else(data: st.DataObject, format: str) -> None:
    content = bytearray(packed(Image.fromarray(noise(12, 9)), format))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadFile):  # and nothing but BadFile
        image = decode(bytes(content))
        assert (image.dtype, image.ndim, len(image)) == (torch.uint8, 3, 3)


def test_many_threads_decode_at_once() -> None:
    pictures = [noise(20, 30, seed) for seed in range(8)]
    files = [packed(Image.fromarray(picture), "PNG") for picture in pictures]
    wrong: list[int] = []

    def check(number: int) -> None:
        if decode(files[number]).permute(1, 2, 0).tolist() != pictures[number].tolist():
            wrong.append(number)

    threads = [threading.Thread(target=check, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_endings_count_in_any_case() -> None:
    assert has_image_ending("n01440764_10026.JPEG")
    assert has_image_ending("a.b.Png")
    assert not has_image_ending("boxes.csv")
    assert not has_image_ending("jpg")
    assert not has_image_ending("a.jpg.txt")
    assert all(ending == ending.lower() and ending.startswith(".") for ending in IMAGE_ENDINGS)

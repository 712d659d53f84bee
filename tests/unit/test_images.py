"""Every image is read as Pillow reads it, or refused with one sentence that names the file."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from lmdeploy.errors import InputError
from lmdeploy.images import IMAGE_SUFFIXES, decode_image, list_images, read_image
from tests.odd_images import encoded, smooth_picture, with_orientation

PICTURE = Image.fromarray(smooth_picture())
GREY = PICTURE.convert("L")
JPEG = {"quality": 100, "subsampling": 0}


def rgb(image):
    return np.asarray(image.convert("RGB"))


def farthest(pixels, wanted):
    assert pixels.shape == wanted.shape
    assert pixels.dtype == np.uint8
    return int(np.abs(pixels.astype(int) - wanted.astype(int)).max())


LOSSLESS = {
    "png": (PICTURE, "PNG"),
    "grey png": (GREY, "PNG"),
    "one bit": (GREY.convert("1"), "PNG"),
    "palette": (PICTURE.quantize(64), "PNG"),
    "grey with alpha": (PICTURE.convert("LA"), "PNG"),
    "alpha": (PICTURE.convert("RGBA"), "PNG"),
    "bmp": (PICTURE, "BMP"),
    "grey bmp": (GREY, "BMP"),
    "tiff": (PICTURE, "TIFF"),
}


@pytest.mark.parametrize("case", LOSSLESS)
def test_lossless_files_are_read_to_the_bit(case):
    image, kind = LOSSLESS[case]
    assert farthest(decode_image(encoded(image, kind), case), rgb(image)) == 0


def test_transparency_is_dropped_not_blended():
    veiled = PICTURE.copy()
    veiled.putalpha(Image.fromarray(np.full((40, 60), 30, np.uint8)))
    assert farthest(decode_image(encoded(veiled, "PNG"), "veiled"), rgb(PICTURE)) == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("colour", [False, True])
def test_16_bits_are_scaled_to_8(suffix, colour):
    pixels = rgb(PICTURE) if colour else np.asarray(GREY)
    done, content = cv2.imencode(
        suffix, pixels[..., ::-1].astype(np.uint16) * 257 if colour else pixels.astype(np.uint16) * 257
    )
    assert done
    assert farthest(decode_image(content.tobytes(), "deep"), rgb(PICTURE) if colour else rgb(GREY)) == 0


def test_cmyk_jpeg_is_not_inverted():
    cmyk = PICTURE.convert("CMYK")
    assert farthest(decode_image(encoded(cmyk, "JPEG", **JPEG), "cmyk"), rgb(cmyk)) <= 3  # measured 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_colour_and_grey_jpeg(options):
    for image in (PICTURE, GREY):
        content = encoded(image, "JPEG", **JPEG, **options)
        assert farthest(decode_image(content, "jpeg"), rgb(image)) <= 5  # measured 4, the codec's own loss


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    content = with_orientation(PICTURE, orientation, kind)
    wanted = rgb(ImageOps.exif_transpose(Image.open(BytesIO(content))))
    assert farthest(decode_image(content, kind), wanted) <= 1


def test_channels_are_red_green_blue():
    content = encoded(Image.new("RGB", (4, 4), (250, 100, 3)), "PNG")
    assert decode_image(content, "orange")[2, 2].tolist() == [250, 100, 3]


def test_a_thumbnail_s_end_is_not_the_picture_s_end():
    exif = Image.Exif()
    exif[0x010E] = "x"
    thumbnail = encoded(PICTURE.resize((16, 12)), "JPEG")
    whole = encoded(PICTURE, "JPEG", exif=b"Exif\x00\x00" + exif.tobytes()[6:] + thumbnail, progressive=True)
    assert thumbnail in whole
    assert decode_image(whole, "whole").shape == (40, 60, 3)
    with pytest.raises(InputError, match="truncated"):
        decode_image(whole[: len(whole) - 300], "cut")


def test_what_follows_the_picture_does_not_matter():
    """A motion photo carries a film behind the picture; its bytes look like any marker."""
    film = np.random.default_rng(1).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    assert b"\xff\xda" in film
    content = encoded(PICTURE, "JPEG")
    assert np.array_equal(decode_image(content + film, "moving"), decode_image(content, "still"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_cut_anywhere_is_refused(options):
    content = encoded(PICTURE, "JPEG", **options)
    for length in range(3, len(content) - 1, 7):
        with pytest.raises(InputError, match=r"cut\.jpg: the image is truncated"):
            decode_image(content[:length], "cut.jpg")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_other_kinds_cut_are_refused_too(kind, share):
    content = encoded(PICTURE, kind)
    with pytest.raises(InputError, match="cut: "):
        decode_image(content[: int(share * len(content))], "cut")


def test_not_a_picture(tmp_path):
    cases = {"empty.jpg": (b"", "empty"), "text.png": (b"hello" * 20, "not an image"), "zeros": (bytes(99), "not an")}
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.jpg: no such file"):
        read_image(tmp_path / "nothing.jpg")
    with pytest.raises(InputError, match="directory"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "nothing")


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refused)
    with pytest.raises(InputError, match="Permission denied"):
        list_images(tmp_path)


def test_an_image_beyond_opencv_s_limits_is_refused():
    """The header of a PNG of 65,500 x 65,500 pixels, with a valid checksum, so that only its size is wrong."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 65_500, 65_500, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(InputError, match="huge"):
        decode_image(content + struct.pack(">I", 0) + b"IEND\xaeB`\x82", "huge")


def test_list_images_takes_images_alone_and_sorts(tmp_path):
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.jpg", "d.tif"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "e.png").touch()
    assert [path.name for path in list_images(str(tmp_path))] == ["a.png", "b.JPG", "d.tif"]
    assert {".jpeg", ".webp", ".bmp", ".tiff"} <= IMAGE_SUFFIXES


@pytest.mark.data
def test_real_images_are_read_as_pillow_reads_them(shared_data):
    files = list_images(shared_data / "faces68_300w" / "test_public" / "images")[:20]
    for file in files:
        assert farthest(read_image(file), rgb(Image.open(file))) <= 3

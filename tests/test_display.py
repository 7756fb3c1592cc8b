"""Tables of pictures and texts, and single pictures."""

import numpy as np
import torch
from PIL import Image

from stylegan2 import display


def plain(i: int, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (20 * i, 90, 200 - 20 * i))


def written(picture: Image.Image, *corners: int) -> bool:
    """Are there letters between these corners?"""
    return picture.crop(corners).getextrema()[1][0] < 90


def test_a_table_puts_cells_below_and_beside_each_other():
    cells = [[plain(0, 30, 20), plain(1, 40, 10)], [None, plain(2, 20, 50)], [plain(3, 10, 10)]]
    picture = display.table(cells, gap=(2, 6))
    assert picture.size == (30 + 2 + 40, 20 + 6 + 50 + 6 + 10)
    corners = {(0, 0): 0, (32, 0): 1, (32, 26): 2, (0, 82): 3}
    for (x, y), i in corners.items():
        assert picture.getpixel((x, y)) == plain(i, 1, 1).getpixel((0, 0))
    assert picture.crop((0, 20, 30, 82)).getcolors() == [(30 * 62, display.PAPER)]  # None: nothing


def test_titles_stand_above_columns_and_left_of_rows():
    cells = [[plain(i, 60, 30)] * 2 for i in range(2)]
    bare = display.table(cells)
    titled = display.table(cells, ["a", "b"], ["seed 1", "seed 2\nagain"], band=22, corner="which")
    left = titled.width - bare.width
    assert titled.height == bare.height + 22 and left > 40
    assert titled.crop((left, 22, *titled.size)).tobytes() == bare.tobytes()
    for x in (left, left + 64):
        assert written(titled, x, 0, x + 60, 22)
    for y in (0, 22, 56):
        assert written(titled, 0, y, left, y + 22)


def test_texts_and_images_are_cells_too():
    images = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    picture = display.table([images, ["below", ""]], gap=(4, 0), band=20, side=50)
    assert picture.size == (104, 70)
    assert np.array_equal(picture.crop((54, 0, 104, 50)), display.sized(images[1], 50))
    assert written(picture, 0, 50, 50, 70) and not written(picture, 54, 50, 104, 70)
    assert display.table([images]).size == (20, 8)


def test_sized_is_a_square_of_any_size():
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16)
    assert display.sized(image, 37).size == (37, 37)
    assert display.sized(image, 64).tobytes() == display.to_pil(image, 4).tobytes()


def test_pictures_beside_each_other():
    row = display.beside([plain(1, 17, 16), plain(5, 3, 4)], gap=2)
    assert row.size == (22, 16) and row.getpixel((19, 0)) == (100, 90, 100) and row.getpixel((19, 10)) == display.PAPER

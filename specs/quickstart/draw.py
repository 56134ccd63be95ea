"""Draws the pictures that image_folder.yaml and segmentation.yaml learn from: python draw.py [FOLDER]

Without FOLDER they go to `drawn` beside this file. shapes/ has a folder of photographs for each class, of several sizes, as JPEG and
PNG; scenes/ has photographs, and masks in which a pixel is 0 (background), 1 (circle), 2 (square) or 3 (triangle). Needs Pillow:
pip install 'nnspec[images]'. The same pictures come out each time.
"""

import math
import random
import sys
from pathlib import Path

try:
    from PIL import Image, ImageDraw, ImageFilter
except ImportError:
    sys.exit("drawing needs Pillow: pip install 'nnspec[images]'")

CLASSES = ("circle", "square", "triangle")
SHAPES, SCENES = 150, 320  # photographs of each class, scenes


def main(folder: Path) -> None:
    """Draws everything into a folder."""
    for name in CLASSES:
        (folder / "shapes" / name).mkdir(parents=True, exist_ok=True)
        for i in range(SHAPES):
            photo, _ = picture(random.Random(f"{name} {i}"), (name,), 28, 48)
            save(photo, folder / "shapes" / name / f"{i:03}", i)
    for part in ("image", "mask"):
        (folder / "scenes" / part).mkdir(parents=True, exist_ok=True)
    for i in range(SCENES):
        draw = random.Random(f"scene {i}")
        photo, mask = picture(draw, [draw.choice(CLASSES) for _ in range(draw.randint(1, 3))], 32, 32)
        save(photo, folder / "scenes" / "image" / f"{i:03}", i)
        mask.save(folder / "scenes" / "mask" / f"{i:03}.png")


def picture(draw, names, smallest, largest):
    """A photograph of these shapes, one over the other, and its mask."""
    width, height = (draw.randint(smallest, largest) for _ in range(2))
    ground = tuple(draw.randint(0, 90) for _ in range(3))
    photo = Image.new("RGB", (4 * width, 4 * height), ground)  # drawn large, so that edges are smooth
    mask = Image.new("L", (width, height), 0)
    for name in names:
        colour = tuple(draw.randint(120, 255) for _ in range(3))
        radius = draw.uniform(0.24, 0.4) * min(width, height) / (1 if len(names) == 1 else 1.4)
        x, y = draw.uniform(radius, width - radius), draw.uniform(radius, height - radius)
        turn = draw.uniform(-0.3, 0.3)
        for image, scale, fill in ((photo, 4, colour), (mask, 1, CLASSES.index(name) + 1)):
            shape(ImageDraw.Draw(image), name, (x * scale, y * scale), radius * scale, turn, fill)
    photo = photo.resize((width, height), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.4))
    return grained(photo, draw), mask


def shape(canvas, name, centre, radius, turn, fill):
    """One shape; squares and triangles are turned."""
    x, y = centre
    if name == "circle":
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        return
    corners = 4 if name == "square" else 3
    start = turn + math.pi / 4 if name == "square" else turn - math.pi / 2  # upright, but for the turn
    angles = [start + 2 * math.pi * k / corners for k in range(corners)]
    canvas.polygon([(x + 1.15 * radius * math.cos(a), y + 1.15 * radius * math.sin(a)) for a in angles], fill=fill)


def grained(photo, draw):
    """Grain, as of a camera in the dark."""
    grain = Image.frombytes("RGB", photo.size, draw.randbytes(3 * photo.width * photo.height))
    return Image.blend(photo, grain, 0.06)


def save(photo, path, number):
    """Every third as PNG, the others as JPEG."""
    if number % 3 == 0:
        photo.save(path.with_suffix(".png"))
    else:
        photo.save(path.with_suffix(".jpg"), quality=90)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "drawn"
    main(target)
    print(f"drew {len(CLASSES) * SHAPES} photographs of shapes and {SCENES} scenes into {target}")

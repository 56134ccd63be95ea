"""Draws the few photographs that transfer.yaml learns from: python photos.py [FOLDER]

Without FOLDER they go to `drawn` beside this file. signs/ has a folder of 40 small JPEGs for each of four signs: arrow, cross, ring and
star. Needs Pillow: pip install 'nnspec[images]'. The same pictures come out each time.
"""

import math
import random
import sys
from pathlib import Path

try:
    from PIL import Image, ImageDraw, ImageFilter
except ImportError:
    sys.exit("drawing needs Pillow: pip install 'nnspec[images]'")

PHOTOS = 40  # of each sign
ARROW = ((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1))
CROSS = ((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3), (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3))
STAR = tuple((r * math.sin(k * math.pi / 5), -r * math.cos(k * math.pi / 5)) for k in range(10) for r in ((1.1, 0.45)[k % 2],))
SIGNS = {"arrow": ARROW, "cross": CROSS, "ring": None, "star": STAR}


def main(folder: Path) -> None:
    """Draws everything into a folder."""
    for name, corners in SIGNS.items():
        (folder / "signs" / name).mkdir(parents=True, exist_ok=True)
        for i in range(PHOTOS):
            photo(random.Random(f"{name} {i}"), corners).save(folder / "signs" / name / f"{i:03}.jpg", quality=90)


def photo(draw, corners):
    """One sign of some colour, somewhere, a little turned, on a dark ground with grain."""
    width, height = draw.randint(32, 48), draw.randint(32, 48)
    image = Image.new("RGB", (4 * width, 4 * height), tuple(draw.randint(0, 90) for _ in range(3)))  # drawn large, so that edges are smooth
    colour = tuple(draw.randint(120, 255) for _ in range(3))
    radius = draw.uniform(0.26, 0.4) * min(width, height)
    x, y, turn = draw.uniform(radius, width - radius), draw.uniform(radius, height - radius), draw.uniform(-0.3, 0.3)
    canvas = ImageDraw.Draw(image)
    if corners is None:
        canvas.ellipse([4 * v for v in (x - radius, y - radius, x + radius, y + radius)], outline=colour, width=int(1.6 * radius))
    else:
        sine, cosine = math.sin(turn), math.cos(turn)
        canvas.polygon([(4 * (x + radius * (a * cosine - b * sine)), 4 * (y + radius * (a * sine + b * cosine))) for a, b in corners], fill=colour)
    image = image.resize((width, height), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.4))
    return Image.blend(image, Image.frombytes("RGB", image.size, draw.randbytes(3 * width * height)), 0.06)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "drawn"
    main(target)
    print(f"drew {len(SIGNS) * PHOTOS} photographs of signs into {target}")

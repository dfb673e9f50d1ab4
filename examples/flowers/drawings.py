"""Draw flowers: no two are alike, and the same seed draws the same ones."""

import io
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (320, 240)
GRASS, STALK = (74, 118, 58), (40, 96, 36)


def daisy(draw, centre, radius, random):
    petals(draw, centre, radius, random, colour=(244, 244, 238), count=random.integers(11, 16), width=0.13)
    disc(draw, centre, 0.28 * radius, shade((236, 192, 40), random))


def sunflower(draw, centre, radius, random):
    petals(draw, centre, radius, random, colour=(246, 188, 18), count=random.integers(16, 24), width=0.11)
    disc(draw, centre, 0.5 * radius, shade((92, 56, 24), random))


def rose(draw, centre, radius, random):
    for ring in np.linspace(1, 0.15, 7):
        x, y = (at + random.normal(0, 0.06 * radius) for at in centre)
        disc(draw, (x, y), ring * radius * 0.9, shade((206 - 60 * ring, 24, 52), random))


FLOWERS = {"daisy": daisy, "rose": rose, "sunflower": sunflower}


def jpeg(flower, random):
    """Return the bytes of a JPEG with one flower, somewhere in a meadow."""
    meadow = np.clip(np.array(GRASS) + random.normal(0, 24, (*SIZE[::-1], 3)), 0, 255)
    image = Image.fromarray(meadow.astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))
    draw = ImageDraw.Draw(image)
    radius = random.uniform(52, 84)
    centre = random.uniform(130, 190), random.uniform(90, 140)
    draw.line([centre, (random.uniform(110, 210), SIZE[1])], shade(STALK, random), width=9)
    FLOWERS[flower](draw, centre, radius, random)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=90)
    return target.getvalue()


def petals(draw, centre, radius, random, *, colour, count, width):
    turn = random.uniform(0, pi)
    for number in range(count):
        angle = turn + 2 * pi * number / count
        draw.polygon(list(petal(centre, radius, angle, width)), shade(colour, random))


def petal(centre, radius, angle, width):
    """Return the outline of an ellipse from the centre outwards."""
    for step in np.linspace(0, 2 * pi, 24):
        along, across = radius * (0.5 + 0.5 * cos(step)), radius * width * sin(step)
        yield (
            centre[0] + along * cos(angle) - across * sin(angle),
            centre[1] + along * sin(angle) + across * cos(angle),
        )


def disc(draw, centre, radius, colour):
    (x, y) = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def shade(colour, random):
    """Return nearly this colour."""
    return tuple(int(part) for part in np.clip(np.array(colour) + random.normal(0, 10, 3), 0, 255))

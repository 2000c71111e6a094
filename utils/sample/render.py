"""Ray casting of limbs with NumPy: a depth buffer of stretched round cones, then one shading pass."""

from dataclasses import dataclass

import numpy as np

from utils.sample.flesh import RoundCones

NOTHING = -1  # in `Surface.limb`: the pixel shows the background


@dataclass(frozen=True)
class PinholeCamera:
    """A camera without lens distortion. Camera frame: x right, y down, z forward, mm.

    Attributes:
        rotation: (3, 3) R and `position`: (3,) T, mm, of X = R (P - T) for a world point P.
        focal: (2,) and `centre`: (2,), px, zero-based: pixel = focal * (x / z, y / z) + centre.
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: np.ndarray
    centre: np.ndarray

    def world_to_camera(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) world mm to camera mm."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) camera mm to (..., 2) zero-based pixels."""
        return points[..., :2] / points[..., 2:] * self.focal + self.centre

    def rays(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """x (width,) and y (height,) of the rays (x, y, 1) through the pixels, camera frame."""
        x = (np.arange(width) - self.centre[0]) / self.focal[0]
        y = (np.arange(height) - self.centre[1]) / self.focal[1]
        return x, y


def look_camera(
    position: np.ndarray, pitch: float, roll: float, focal: float, centre: tuple[float, float]
) -> PinholeCamera:
    """A camera at `position` (3,) mm looking along world +y, pitched down by `pitch` and rolled by `roll`, radians."""
    (cp, sp), (cr, sr) = (np.cos(pitch), np.sin(pitch)), (np.cos(roll), np.sin(roll))
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # right = +x, down = -z, forward = +y
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return PinholeCamera(turn @ nod @ level, np.asarray(position, float), np.full(2, focal), np.array(centre, float))


@dataclass(frozen=True)
class Surface:
    """What each pixel sees.

    Attributes:
        depth: (H, W) camera z in mm, infinite for the background.
        limb: (H, W) index of the limb, or `NOTHING`.
        along: (H, W) position along the limb's axis, 0 at its start, 1 at its end.
    """

    depth: np.ndarray
    limb: np.ndarray
    along: np.ndarray


@dataclass(frozen=True)
class _CameraCones:
    """Round cones in the camera frame; `shrink` (P, 3, 3) undoes the stretch."""

    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray
    axes: np.ndarray
    shrink: np.ndarray


def _to_camera(cones: RoundCones, camera: PinholeCamera) -> _CameraCones:
    axes = camera.rotation @ cones.axes
    shrink = np.einsum("pak,pk,pbk->pab", axes, 1 / cones.stretch, axes)
    return _CameraCones(
        camera.world_to_camera(cones.start), camera.world_to_camera(cones.end), cones.radii, axes, shrink
    )


def cast(cones: RoundCones, camera: PinholeCamera, width: int, height: int) -> Surface:
    """The nearest limb in each pixel of a `width` x `height` image, by exact ray-cone intersection, in float64.

    Limbs nearer to the camera than 1 mm are skipped.
    """
    solid = _to_camera(cones, camera)
    depth = np.full((height, width), np.inf)
    limb = np.full((height, width), NOTHING, np.int16)
    along = np.zeros((height, width))
    x, y = camera.rays(width, height)
    for index, box in enumerate(_pixel_boxes(solid, cones, camera, width, height)):  # the pixels of a box are a batch
        if box is None:
            continue
        distance, place = _intersect(x[box[1]], y[box[0], None], solid, index)
        nearer = distance < depth[box]
        np.copyto(depth[box], distance, where=nearer)
        np.copyto(along[box], place, where=nearer)
        limb[box][nearer] = index
    return Surface(depth, limb, along)


def _pixel_boxes(
    solid: _CameraCones, cones: RoundCones, camera: PinholeCamera, width: int, height: int
) -> list[tuple[slice, slice] | None]:
    """Rows and columns that can see each limb: the projection of cubes around its two balls."""
    ends = np.stack([solid.start, solid.end])  # (2, P, 3)
    reach = (cones.radii.max(-1) * cones.stretch.max(-1))[:, None]
    edges = np.concatenate(
        [(ends[..., :2] + i * reach) / (ends[..., 2:] + j * reach) for i in (-1, 1) for j in (-1, 1)]
    )
    pixels = edges * camera.focal + camera.centre
    left_top = np.clip(np.floor(pixels.min(0)), 0, (width, height)).astype(int).tolist()
    right_bottom = np.clip(np.ceil(pixels.max(0)) + 1, 0, (width, height)).astype(int).tolist()
    in_front = (ends[..., 2] - reach[:, 0]).min(0) > 1
    return [
        (slice(top, bottom), slice(left, right)) if front and right > left and bottom > top else None
        for front, (left, top), (right, bottom) in zip(in_front, left_top, right_bottom, strict=True)
    ]


def _intersect(x: np.ndarray, y: np.ndarray, solid: _CameraCones, index: int) -> tuple[np.ndarray, np.ndarray]:
    """First hit of rays s (x, y, 1), x (w,) and y (h, 1), with a round cone: depth s and position along, both (h, w).

    A round cone is the union over t in [0, 1] of balls around a + t b with radius r + t k. With the stretch removed the
    ray is s d, and the surface is the envelope (A t = B) of A t² - 2 B t + C = 0 with A = b·b - k²,
    B = (s d - a)·b + r k, C = |s d - a|² - r². This gives B² = A C, a quadratic in s. Beyond the ends the surface is
    that of the end balls.
    """
    shrink = solid.shrink[index]
    a, end = shrink @ solid.start[index], shrink @ solid.end[index]
    b, (radius, end_radius) = end - a, solid.radii[index]
    k = end_radius - radius
    gram = shrink @ shrink
    dd = (gram[0, 0] * x + 2 * gram[0, 2]) * x + (gram[1, 1] * y + 2 * gram[1, 2]) * y + gram[2, 2]
    dd = dd + 2 * gram[0, 1] * x * y

    def along_ray(vector: np.ndarray) -> np.ndarray:
        """d · vector for all pixels, (h, w); linear in x and y."""
        p, q, r = shrink @ vector
        return p * x + (q * y + r)

    def ball(centre: np.ndarray, ball_radius: float) -> np.ndarray:
        middle = along_ray(centre)
        square = middle**2 - dd * (centre @ centre - ball_radius**2)
        return np.where(square > 0, (middle - np.sqrt(np.maximum(square, 0))) / dd, np.inf)

    m, da, n, capital_a = along_ray(b), along_ray(a), a @ b - radius * k, b @ b - k * k
    depth = np.minimum(ball(a, radius), ball(end, end_radius))
    if capital_a > 0:  # else one ball contains the other
        # qa s² - 2 qb s + qc = 0. For rays across the axis qa < 0 and this root is the entry point. For rays nearly
        # along it qa > 0 and this root is the entry into a limb that widens away from the camera; a limb that narrows
        # is entered through its end ball.
        qa, qb, qc = m * m - capital_a * dd, m * n - capital_a * da, n * n - capital_a * (a @ a - radius**2)
        square = qb * qb - qa * qc
        hit = (qb + np.sqrt(np.maximum(square, 0))) / np.where(qa == 0, 1e-12, qa)
        place = (hit * m - n) / capital_a
        valid = (square > 0) & (place >= 0) & (place <= 1) & (hit > 0)
        depth = np.where(valid, np.minimum(depth, hit), depth)
    with np.errstate(invalid="ignore"):  # depth is infinite without a hit
        place = np.clip((depth * m - n) / max(capital_a, 1e-9), 0, 1)
    return depth, place


PATTERNS = ("plain", "stripes", "pinstripes", "checks", "dots", "print", "zip")


@dataclass(frozen=True)
class Outfit:
    """Colours of P limbs made of K materials.

    Attributes:
        colours: (K, 2, 3) base and pattern colour, RGB in 0 .. 1.
        pattern: (K,) index into `PATTERNS`.
        period: (K,) period of the pattern, mm.
        grain: (K,) strength of the texture noise of cloth or skin, 0 .. 1.
        layers: (P, 2) materials before and after `split`.
        split: (P,) position along the limb where a sleeve or trouser leg ends.
    """

    colours: np.ndarray
    pattern: np.ndarray
    period: np.ndarray
    grain: np.ndarray
    layers: np.ndarray
    split: np.ndarray


def join_cones(parts: list[RoundCones]) -> RoundCones:
    """Concatenate several sets of limbs."""
    names = tuple(name for part in parts for name in part.names)
    fields = ("start", "end", "radii", "axes", "stretch")
    return RoundCones(names, *(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def join_outfits(outfits: list[Outfit]) -> Outfit:
    """Concatenate the outfits of several sets of limbs."""
    offsets = np.cumsum([0, *(len(outfit.pattern) for outfit in outfits[:-1])])
    layers = [outfit.layers + offset for outfit, offset in zip(outfits, offsets, strict=True)]
    fields = {
        f: np.concatenate([getattr(o, f) for o in outfits]) for f in ("colours", "pattern", "period", "grain", "split")
    }
    return Outfit(layers=np.concatenate(layers), **fields)


def shade(
    surface: Surface, cones: RoundCones, outfit: Outfit, camera: PinholeCamera, light: np.ndarray, tile: np.ndarray
) -> np.ndarray:
    """Shade the result of `cast`: (H, W, 4) float32 RGB and coverage in 0 .. 1.

    Args:
        light: (3,) unit vector towards the light, camera frame.
        tile: (T, T) noise with mean 0 and standard deviation 1, mapped onto the limbs at 4 mm per texel.
    """
    height, width = surface.limb.shape
    rows, columns = np.nonzero(surface.limb != NOTHING)
    limb = surface.limb[rows, columns].astype(np.intp)
    depth, along = (field[rows, columns].astype(np.float32) for field in (surface.depth, surface.along))
    x, y = camera.rays(width, height)
    hit = (
        np.stack([x.astype(np.float32)[columns], y.astype(np.float32)[rows], np.ones_like(depth)], -1) * depth[:, None]
    )
    solid = _to_camera(cones, camera)

    # In each limb's local frame (left, back, up), so that one rotation per pixel serves normal, light and texture.
    axes = solid.axes.astype(np.float32)
    start, bone, sun = (
        np.einsum("pab,pa->pb", axes, v.astype(np.float32))
        for v in (solid.start, solid.end - solid.start, np.broadcast_to(light, solid.start.shape))
    )
    local = np.einsum("nab,na->nb", axes[limb], hit)
    ray = local / np.sqrt(np.einsum("na,na->n", local, local))[:, None]
    local -= start[limb]
    from_axis = local - along[:, None] * bone[limb]
    normal = from_axis * (cones.stretch**-2).astype(np.float32)[limb]
    normal /= np.sqrt(np.einsum("na,na->n", normal, normal))[:, None]

    distance = along * np.sqrt((bone**2).sum(-1))[limb]
    angle = np.arctan2(from_axis[:, 0], -from_axis[:, 1])
    across = angle * cones.radii.astype(np.float32)[limb, 0]
    material = outfit.layers[limb, (along >= outfit.split[limb]).astype(int)]
    colour = _pattern_colour(outfit, material, distance, across)
    texel = ((np.stack([distance, across]) / 4).astype(int) + 61 * limb) % len(tile)
    colour *= 1 + (outfit.grain[material] * tile[texel[0], texel[1]])[:, None]
    _paint_faces(colour, limb, local, cones, outfit)

    diffuse = np.maximum(np.einsum("na,na->n", normal, sun[limb]), 0)
    facing = np.abs(np.einsum("na,na->n", normal, ray))
    colour *= ((0.5 + 0.65 * diffuse) * (0.7 + 0.3 * facing))[:, None]
    image = np.zeros((height, width, 4), np.float32)
    image[rows, columns, :3] = np.clip(colour, 0, 1)
    image[rows, columns, 3] = 1
    return image


def _pattern_colour(outfit: Outfit, material: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(n, 3) colours of n points at `along` mm on the axis and `across` mm around it, 0 at the front."""
    period = outfit.period.astype(np.float32)[material]
    wave, wave_about = np.sin(2 * np.pi * along / period), np.sin(2 * np.pi * across / period)
    second = np.select(
        [outfit.pattern[material] == PATTERNS.index(name) for name in PATTERNS[1:]],
        [
            wave > 0,
            wave_about > 0,
            (wave > 0) ^ (wave_about > 0),
            wave * wave_about > 0.4,
            np.hypot(across, along - 40) < 70,
            np.abs(across) < 9,
        ],
        False,
    )
    return outfit.colours.astype(np.float32)[material, second.astype(np.intp)]


def _paint_faces(colour: np.ndarray, limb: np.ndarray, local: np.ndarray, cones: RoundCones, outfit: Outfit) -> None:
    """Paint eyes, brows and a mouth on every limb named "head", in place.

    `local` (n, 3): position relative to the limb's start in its local frame, mm.
    """
    for head in (index for index, name in enumerate(cones.names) if name == "head"):
        pixels = np.nonzero(limb == head)[0]
        left, back, up = (local[pixels] / np.linalg.norm(cones.end[head] - cones.start[head])).T
        aside = np.abs(left) - 0.37
        front = back < 0
        white = front & (np.hypot(aside / 0.19, (up - 0.72) / 0.12) < 1)
        marks = (
            (front & (np.abs(aside) < 0.2) & (np.abs(up - 0.98) < 0.055), outfit.colours[outfit.layers[head, 1], 1]),
            (white, 0.93),
            (white & (np.abs(aside) < 0.09), 0.06),
            (front & (np.hypot(left / 0.34, (up + 0.12) / 0.09) < 1), (0.62, 0.16, 0.16)),
        )
        for area, paint in marks:
            colour[pixels[area]] = paint


def visible_joints(surface: Surface, camera: PinholeCamera, joints: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """(J,) bool: whether a joint is in the picture and not occluded.

    Args:
        joints: (J, 3) camera frame, mm.
        depths: (J,) maximum depth below the surface at which a joint still counts as visible, mm.
    """
    height, width = surface.depth.shape
    column, row = np.round(camera.project(joints)).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = surface.depth[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return inside & (nearest >= joints[:, 2] - depths)


def random_colour(rng: np.random.Generator, saturation: float = 0.8) -> np.ndarray:
    """(3,) RGB in 0 .. 1: random hue, brightness, and saturation up to `saturation`."""
    hue, saturation, value = rng.uniform(), rng.uniform(0.03, saturation), rng.uniform(0.25, 0.95)
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return value * (1 - saturation + saturation * wheel)


_SKIN = np.array([[0.93, 0.78, 0.68], [0.8, 0.6, 0.45], [0.55, 0.37, 0.26], [0.33, 0.21, 0.15]])
_HAIR = np.array([[0.08, 0.06, 0.05], [0.25, 0.15, 0.08], [0.45, 0.3, 0.15], [0.75, 0.6, 0.3], [0.6, 0.6, 0.6]])


def random_outfit(rng: np.random.Generator, names: tuple[str, ...]) -> Outfit:
    """Random skin, hair and clothes for the limbs named by `flesh.limbs`."""
    tone = rng.uniform(0, len(_SKIN) - 1.001)
    skin = _SKIN[int(tone)] * (1 - tone % 1) + _SKIN[int(tone) + 1] * (tone % 1)
    hair = np.clip(_HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.2), 0, 1)
    materials = ("skin", "shirt", "trousers", "shoes", "socks", "hair")
    colours = np.stack([np.stack([random_colour(rng), random_colour(rng)]) for _ in materials])
    colours[materials.index("skin")] = skin, hair
    colours[materials.index("hair")] = hair
    pattern = np.zeros(len(materials), int)
    pattern[1:3] = (
        rng.choice(len(PATTERNS), p=[0.4, 0.15, 0.08, 0.1, 0.07, 0.12, 0.08]),
        rng.choice(4, p=[0.75, 0, 0.1, 0.15]),
    )
    sleeve = rng.choice(3, p=[0.15, 0.45, 0.4])  # none, short, long
    long_legs = rng.uniform() < 0.7
    shirt_sleeve = (0.0, rng.uniform(0.35, 0.85), 1.1)[sleeve]
    shin = ("trousers", "socks", rng.uniform(0.85, 1.0)) if long_legs else ("skin", "socks", rng.uniform(0.5, 0.95))
    # limb -> materials before and after a position along it
    dress = {
        "hips": ("trousers", "shirt", rng.uniform(0.3, 0.9)),
        "abdomen": ("shirt", "shirt", 2),
        "chest": ("shirt", "shirt", 2),
        "collar": ("shirt", "shirt", 2),
        "upper_arm": ("shirt", "skin", shirt_sleeve),
        "forearm": ("shirt", "skin", rng.uniform(0.6, 0.95) if sleeve == 2 else 0),
        "hair": ("hair", "hair", 2),
        "thigh": ("trousers", "skin", 1.1 if long_legs else rng.uniform(0.45, 0.95)),
        "shin": shin,
        "foot": ("shoes", "shoes", 2),
    }
    rows = [dress.get(name.removeprefix("l_").removeprefix("r_"), ("skin", "skin", 2)) for name in names]
    return Outfit(
        colours=colours,
        pattern=pattern,
        period=rng.uniform(50, 130, len(materials)),
        grain=np.where(np.arange(len(materials)) == 0, 0.02, rng.uniform(0.02, 0.09, len(materials))),
        layers=np.array([[materials.index(first), materials.index(second)] for first, second, _ in rows]),
        split=np.array([split for *_, split in rows], float),
    )

"""Drawings as pixels and as vector files; text; captions; tags of people; zoom."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.imaging.captions import Key, caption, captioned, side_keys, titled, titled_row
from utils.imaging.figures import DARK_STYLE, FigureStyle, photo_panels, save_figure, zoom_box
from utils.imaging.lettering import LEAST_SIZE, README_WIDTH, fitting_size, size_for, text_width, wrapped
from utils.imaging.people_tags import tag_places
from utils.imaging.sketch import Disc, Inset, Line, Polygon, Sketch, arranged, dashes, stacked
from utils.imaging.vector import save_vector
from utils.look.palette import DARK, PAPER, person_color
from utils.transform import Skeleton

STICK = Skeleton("stick", ("r_hand", "head", "l_hand"), (("r_hand", "head"), ("head", "l_hand")))
JOINTS = np.array([[[200.0, 300.0], [400.0, 100.0], [600.0, 300.0]]])


def flat(width, height, level):
    return np.full((height, width, 3), level, np.uint8)


class TestArranged:
    def test_places_by_hand(self):
        cells = [flat(20, 10, 50), flat(6, 14, 90), flat(4, 4, 120)]
        picture = arranged(cells, 2, 3, (7, 7, 7)).raster()
        assert picture.shape == (14 + 3 + 4, 20 + 3 + 6, 3)
        assert (picture[:10, :20] == 50).all()
        assert (picture[:14, 23:] == 90).all()
        assert (picture[17:, :4] == 120).all()
        assert (picture[10:17, :20] == 7).all()

    def test_small_text_is_left_out_at_any_depth(self):
        drawing = Sketch((100, 40), DARK.ground)
        for line, size in enumerate((8, 12)):
            drawing.write("text", (2, 15 * (line + 1)), size, DARK.ink)
        outer = arranged([drawing, drawing], 2, 0, DARK.ground)
        outer.write("text", (2, 35), 8, DARK.ink)
        expected = Sketch((100, 40), DARK.ground)
        expected.write("text", (2, 30), 12, DARK.ink)
        kept = outer.without_text_below(9).raster()
        np.testing.assert_array_equal(kept, arranged([expected, expected], 2, 0, DARK.ground).raster())
        assert (outer.raster() != kept).any()

    def test_stacked(self):
        assert stacked([flat(20, 10, 1), flat(8, 5, 2)], (0, 0, 0), gap=2).size == (20, 17)


class TestDashes:
    def test_both_ends_have_a_dash(self):
        parts = dashes(Line(np.array([0.0, 0]), np.array([100.0, 0]), (0, 0, 0), 2, (10, 5)))
        assert len(parts) == 7
        assert parts[0][0].tolist() == [0, 0]
        assert parts[-1][1].tolist() == pytest.approx([100, 0])
        gaps = [after[0][0] - before[1][0] for before, after in pairwise(parts)]
        assert gaps == pytest.approx([gaps[0]] * 6)

    def test_a_solid_line_and_a_point(self):
        point = np.array([3.0, 4])
        assert len(dashes(Line(point, point + 9, (0, 0, 0), 2))) == 1
        assert len(dashes(Line(point, point, (0, 0, 0), 2, (3, 3)))) == 1


class TestText:
    def test_is_readable_in_a_page(self):
        for width in (300, 830, 1700, 3000):
            assert size_for(width) * min(1, README_WIDTH / width) >= LEAST_SIZE

    def test_a_line_fits_its_width(self):
        words = "a line that is far too long for its panel"
        assert fitting_size(words, 20, 1000) == 20
        assert text_width(words, fitting_size(words, 20, 150)) <= 160  # 150, but glyph widths round to whole px

    def test_letters_beyond_ascii_are_drawn(self):
        sketch = Sketch((300, 40), (0, 0, 0))
        sketch.write("25° × 3 — é", (4, 28), 20, (255, 255, 255))
        assert (sketch.raster() > 200).sum() > 100

    @given(st.lists(st.text("abc", min_size=1, max_size=12), max_size=30))
    def test_wrapping_keeps_the_words(self, words):
        lines = wrapped(words, 12, 100)
        assert [word for line in lines for word in line] == words
        assert all(len(line) == 1 or text_width(" ".join(line), 12) <= 100 for line in lines)


class TestCaption:
    def test_is_as_wide_as_its_figure_and_has_the_colors(self):
        figure = captioned(flat(600, 200, 0), side_keys(DARK), ["floor grid 500 mm"], DARK)
        picture = figure.raster()
        assert picture.shape[1] == 600
        for side in "rl":
            assert (picture[200:] == DARK.sides[side]).all(axis=2).any()

    def test_long_ones_have_more_lines(self):
        heights = [caption(300, side_keys(PAPER), ["a sentence"] * count, PAPER).size[1] for count in (0, 1, 9)]
        assert heights == sorted(set(heights))

    def test_a_color_bar_goes_from_low_to_high(self):
        ramp = [(10, 10, 10), (250, 250, 250)]
        picture = caption(400, [Key("heat", ramp=ramp)], [], DARK).raster().astype(int)
        low, high = (np.nonzero((np.abs(picture - color) < 3).all(axis=2))[1].mean() for color in ramp)
        assert low < high

    def test_titles(self):
        row = titled_row([flat(80, 100, 1), flat(80, 100, 2)], ["first", "second"], DARK, "heading")
        assert row.size[0] == 166
        assert row.size[1] > titled(flat(80, 100, 1), "first", DARK, 12).size[1]
        with pytest.raises(ValueError, match="argument"):
            titled_row([flat(8, 8, 1), flat(8, 8, 1)], ["one"], DARK)


class TestTags:
    @settings(max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, 560), st.integers(0, 400)), min_size=1, max_size=12))
    def test_do_not_cover_one_another(self, corners):
        boxes = [np.array([x, y, x + 60, y + 90], float) for x, y in corners]
        places = tag_places(boxes, [(24, 20)] * len(boxes), (640, 480))
        for index, one in enumerate(places):
            assert (one[:2] >= 0).all()
            assert (one[2:] <= (640, 480)).all()
            for other in places[:index]:
                assert not ((one[:2] < other[2:]) & (other[:2] < one[2:])).all()

    def test_a_free_one_stands_on_its_box(self):
        [place] = tag_places([np.array([100.0, 100, 200, 300])], [(24, 20)], (640, 480))
        assert place.tolist() == [100, 80, 124, 100]


class TestZoom:
    def test_small_people_have_a_box_around_them(self):
        small = JOINTS * 0.2 + 100
        left, top, right, bottom = zoom_box(small, (800, 600))
        low, high = small[0].min(axis=0), small[0].max(axis=0)
        assert left < low[0] < high[0] < right
        assert top < low[1] < high[1] < bottom
        assert 0 <= left < right <= 800
        assert zoom_box(JOINTS, (800, 600)) is None
        assert zoom_box(JOINTS * np.nan, (800, 600)) is None

    def test_the_photo_stays_whole_beside_it(self):
        photo = flat(800, 600, 90)
        panels = photo_panels(photo, JOINTS * 0.2 + 100, STICK, (), DARK, 16).raster()
        assert panels.shape == (600, 800 + 6 + 600, 3)
        orange = [(part == DARK.sides["r"]).all(axis=2).sum() for part in (panels[:, :800], panels[:, 806:])]
        assert orange[1] > 4 * orange[0] > 0

    def test_numbers_are_where_people_are_large(self):
        people = np.concatenate([JOINTS * 0.1 + 100, JOINTS * 0.1 + 140])
        panels = photo_panels(flat(800, 600, 90), people, STICK, range(2), DARK, 16).raster()
        for number in range(2):
            mask = (panels == person_color(number)).all(axis=2)
            assert mask[:, 806:].any()
            assert not mask[:, :800].any()


class TestVector:
    def sketch(self):
        part = Sketch((30, 20), (250, 240, 230), [Disc(np.array([10.0, 10]), 5, (0, 0, 255))])
        whole = Sketch((100, 60), (255, 255, 255))
        whole.add(Line(np.array([5.0, 5]), np.array([60.0, 40]), (224, 82, 10), 4, (6, 4)), Inset(part, 60, 30))
        whole.add(Polygon(np.array([(0.0, 50), (10, 50), (10, 60)]), (1, 2, 3)))
        whole.write("$x_1$ 25°", (5, 55), 10, (0, 0, 0))
        return whole

    @pytest.mark.parametrize(("suffix", "head"), [(".pdf", b"%PDF"), (".svg", b"<?xml")])
    def test_files_are_equal_each_time(self, tmp_path, suffix, head):
        for name in ("a", "b"):
            save_vector(tmp_path / f"{name}{suffix}", self.sketch())
        content = (tmp_path / f"a{suffix}").read_bytes()
        assert content.startswith(head)
        assert content == (tmp_path / f"b{suffix}").read_bytes()
        if suffix == ".svg":
            assert b"#e0520a" in content

    def test_paper_has_all_three(self, tmp_path):
        save_figure(tmp_path / "a.png", self.sketch(), FigureStyle("paper"))
        save_figure(tmp_path / "b.jpg", self.sketch(), FigureStyle("paper"), whole_name=True)
        save_figure(tmp_path / "c.png", self.sketch(), DARK_STYLE)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["a.pdf", "a.png", "a.svg", "b.jpg", "b.jpg.pdf", "b.jpg.svg", "c.png"]

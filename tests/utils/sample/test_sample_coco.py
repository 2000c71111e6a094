"""The sample in COCO's form: the people of the MPII sample, read by the reader of the real files."""

import numpy as np
import pytest

from stacked_hourglass.annotations.coco import load_coco, read_coco
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.metrics.oks import shared_with_coco
from utils.sample.coco import make_coco
from utils.sample.sample_data import make_mpii
from utils.transform import COCO, MPII


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample")
    make_mpii(root / "mpii", training=20, validation=8)
    make_coco(root / "coco", root / "mpii")
    return root / "coco", root / "mpii"


@pytest.mark.parametrize(("part", "place"), [("train2017", 0), ("val2017", 1)])
def test_the_people_are_those_of_the_mpii_sample(folders, part, place):
    coco, mpii = read_coco(folders[0], part), load_mpii(folders[1])[place]
    people, shared = coco.people, shared_with_coco(MPII)
    assert len(people) == len(mpii)
    assert [path.read_bytes() for path in people.image_paths] == [path.read_bytes() for path in mpii.image_paths]
    columns, of_mpii = COCO.indices(shared), MPII.indices(shared)
    annotated = people.annotated[:, columns]
    np.testing.assert_array_equal(annotated, mpii.annotated[:, of_mpii])
    np.testing.assert_array_equal(people.visible[:, columns], mpii.visible[:, of_mpii])
    np.testing.assert_allclose(people.joints[:, columns][annotated], mpii.joints[:, of_mpii][annotated], atol=0.01)
    # COCO's frame counts from the corner: a joint at x lies at x + 0.5 there.
    low, high = coco.box[:, None, :2] - 0.51, (coco.box[:, :2] + coco.box[:, 2:])[:, None] - 0.49
    inside = (people.joints >= low) & (people.joints <= high)
    assert inside.all(axis=2)[people.annotated].all()
    np.testing.assert_allclose(coco.area, 0.53 * coco.box[:, 2] * coco.box[:, 3], rtol=1e-3)


def test_faces(folders):
    """Eyes lie between the ears in 3D, and seen from the front also in the picture, above the nose."""
    people = read_coco(folders[0], "train2017").people
    face = people.joints[:, :5]
    nose, l_eye, r_eye, l_ear, r_ear = np.moveaxis(face, 1, 0)
    front = people.visible[:, :5].all(axis=1)
    assert 3 <= front.sum() < len(front)
    sizes = np.linalg.norm(l_ear - r_ear, axis=1)
    between = np.linalg.norm((l_eye + r_eye - l_ear - r_ear) / 2, axis=1)
    assert (between[front] < sizes[front]).all()
    assert (l_eye[front, 0] > r_eye[front, 0]).all()  # who faces the camera has the own left on the picture's right
    assert (nose[front, 1] > (l_eye + r_eye)[front, 1] / 2).all()
    backs = people.annotated[:, 0] & ~people.visible[:, :3].any(axis=1)
    assert backs.any()


def test_everybody_can_be_trained_on(folders):
    training, validation = load_coco(folders[0])
    assert (len(training), len(validation)) == (20, 8)

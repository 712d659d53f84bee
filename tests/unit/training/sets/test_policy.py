"""Every crop policy against a box worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lmdeploy.errors import InputError
from lmdeploy.geometry import crop_matrix, transform
from lmdeploy.types import Box
from training.data.sets.policy import POLICIES

SIZE = (400, 600)  # height, width
POINTS = np.array([[100.7, 50.9], [200.2, 250.4], [150.0, 120.0]], np.float32)
GIVEN = Box(90, 40, 210, 240)  # 120 x 200


def frame(name, points=POINTS, given=GIVEN, size=SIZE):
    return POLICIES[name].frame(points, given, size, "a.jpg")


def edges(box):
    return (box.x0, box.y0, box.x1, box.y1)


# name -> box by hand, kind, scale, size, of points (100.7..200.2, 50.9..250.4) and the given box (90..210, 40..240).
BY_HAND = {
    "package": ((100.7, 50.9, 200.2, 250.4), "square", 1.25, 128),
    # truncated 100..200 x 50..250, 5 of 100 and 10 of 200 further out on each side
    "stld_300w": ((95, 40, 205, 260), "stretch", 1.0, 256),
    "stld_wflw": ((90, 40, 210, 240), "stretch", 1.0, 256),
    "stld_aflw": ((90, 40, 210, 240), "stretch", 1.0, 256),
    "stc_wflw": ((78, 20, 222, 260), "stretch", 1.0, 256),
    "ts3": ((66, 0, 234, 280), "stretch", 1.0, 64),
    "smt": ((100.7, 50.9, 200.2, 250.4), "square", 1.3, 80),
    "fabrec_300w": ((90, 0, 210, 264), "square", 1.0, 256),
    "fabrec_wflw": ((90, 40, 210, 260), "square", 1.0, 256),
    "fabrec_affectnet": ((90, 30, 210, 290), "square", 1.0, 256),
    "fabrec_vggface2": ((90, 30, 210, 260), "square", 1.0, 256),
    "sepbn": ((90, 40, 210, 240), "stretch", 1.0, 128),
    "hrnet": ((90, 40, 210, 240), "square", 1.25, 256),
    "celeba": ((78, 70, 222, 260), "stretch", 1.0, 256),
    "whole_512": ((-0.5, -0.5, 599.5, 399.5), "stretch", 1.0, 512),
    "whole_256": ((-0.5, -0.5, 599.5, 399.5), "stretch", 1.0, 256),
    "whole_128": ((-0.5, -0.5, 599.5, 399.5), "stretch", 1.0, 128),
    "whole_60": ((-0.5, -0.5, 599.5, 399.5), "stretch", 1.0, 60),
    "whole_64": ((-0.5, -0.5, 599.5, 399.5), "stretch", 1.0, 64),
}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_box_and_rule_are_those_worked_out_by_hand(name):
    box, kind, scale, size = BY_HAND[name]
    rule = POLICIES[name].rule
    assert edges(frame(name).box) == pytest.approx(box, abs=1e-4)
    assert (rule.kind, rule.scale, rule.size) == (kind, scale, size)


def test_only_the_policies_that_clamp_their_points_say_so():
    assert {name for name, policy in POLICIES.items() if policy.clamp} == {"stc_wflw", "stld_aflw"}


def test_stld_clips_to_the_outermost_pixel_centres_and_cuts_whole_pixels_inclusively():
    points = np.array([[3.9, 7.2], [103.9, 47.9]], np.float32)  # truncated: 3..103 x 7..47
    crop = frame("stld_300w", points, size=(49, 90))
    assert edges(crop.box) == pytest.approx((0, 5, 89, 48))  # x: -2..108 clipped to 0..89; y: 5..49 clipped to 48
    assert edges(crop.pixels) == (-0.5, 4.5, 89.5, 48.5)
    inner = frame("stld_wflw", given=Box(10.6, 20.4, 50.9, 60.2))
    assert edges(inner.box) == pytest.approx((10.6, 20.4, 50.9, 60.2))
    assert edges(inner.pixels) == (9.5, 19.5, 50.5, 60.5)


def test_stld_labels_are_normalised_by_the_unrounded_box():
    """c = (p - x0) / w of the clipped box; a crop pixel holds c = (index + 0.5) / size."""
    points = np.array([[100.7, 50.9], [200.2, 250.4]], np.float32)
    crop = frame("stld_300w", points)
    inside = transform(crop_matrix(crop.box, POLICIES["stld_300w"].rule), points)
    by_hand = [[(100.7 - 95) / 110, (50.9 - 40) / 220], [(200.2 - 95) / 110, (250.4 - 40) / 220]]
    np.testing.assert_allclose((inside + 0.5) / 256, by_hand, atol=1e-5)


def test_fabrec_stores_a_crop_of_the_same_scale_with_a_margin_of_sqrt_2():
    policy = POLICIES["fabrec_300w"]
    assert policy.store.size == 362  # sqrt(2) * 256 = 362.04
    box = frame("fabrec_300w").box
    net, stored = (crop_matrix(box, rule) for rule in (policy.rule, policy.store))
    np.testing.assert_allclose(stored - net, [[0, 0, 53], [0, 0, 53]], atol=1e-9)


def test_smt_grows_the_shorter_side_and_stores_1_7_times_the_square():
    policy = POLICIES["smt"]
    assert (policy.store.kind, policy.store.scale, policy.store.size) == ("square", 1.7, 160)
    matrix = crop_matrix(frame("smt").box, policy.store)
    side = 1.7 * (250.4 - 50.9)
    np.testing.assert_allclose(np.diag(matrix[:, :2]), 160 / side, rtol=1e-6)
    np.testing.assert_allclose(transform(matrix, np.array([[150.45, 150.65]])), [[79.5, 79.5]], atol=1e-3)


def test_the_landmarks_stand_in_for_a_box_that_is_not_given():
    assert edges(frame("sepbn", given=None).box) == pytest.approx((100.7, 50.9, 200.2, 250.4), abs=1e-4)
    assert edges(frame("package", points=None).box) == (90, 40, 210, 240)


@pytest.mark.parametrize("name", [n for n in sorted(POLICIES) if not n.startswith("whole")])
def test_nothing_to_crop_is_said_with_the_image_s_name(name):
    with pytest.raises(InputError, match=r"a\.jpg: neither a box nor a label"):
        frame(name, points=None, given=None)


def test_a_box_outside_the_image_has_no_area():
    with pytest.raises(InputError, match=r"a\.jpg: the box \(599, 40, 599, 240\) has no area"):
        frame("stld_wflw", given=Box(700, 40, 800, 240))

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_hourglass.attention import History, TemporalAttention, _SamePlace
from stacked_hourglass.hourglass import Architecture, HourglassNet, infer_architecture
from utils.osutils import UserError
from utils.training.checkpoints import load_state

LENGTH = 3
OVER_TIME = Architecture(
    stacks=2, features=8, add_attention=True, attention_history_length=LENGTH, attention_heads=2, num_classes=4
)
LEVELS = replace(OVER_TIME, attention_levels=5)
PLAIN = Architecture(stacks=2, features=8, num_classes=4)
both = pytest.mark.parametrize("architecture", [OVER_TIME, LEVELS], ids=["bottleneck", "five_levels"])


def network(architecture: Architecture = OVER_TIME, trained: bool = False) -> HourglassNet:
    torch.manual_seed(0)
    model = HourglassNet(architecture).eval()
    if trained:
        for attention in model.attention:
            torch.nn.init.normal_(attention.gain)
            torch.nn.init.normal_(attention.place)
    return model


def clip(frames: int = 6, people: int = 2) -> torch.Tensor:
    return torch.randn(people, frames, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def streamed(model: HourglassNet, images: torch.Tensor) -> tuple[torch.Tensor, History]:
    history, found = model.empty_history(images[:, 0]), []
    for frame in images.unbind(1):
        maps, history = model.stream(frame, history)
        found.append(maps[-1])
    return torch.stack(found, 1), history


# ------------------------------------------------------------------------------------------ the module by hand
def identity_attention(same_place: bool = False) -> TemporalAttention:
    """One head of two channels. Queries are 0, so all visible frames weigh the same; values are the features."""
    attention = TemporalAttention(2, 2, 1, same_place)
    attention.norm = torch.nn.Identity()
    with torch.no_grad():
        attention.place.zero_()
        for layer in (attention.query, attention.key, attention.value, attention.out):
            layer.bias.zero_()
            layer.weight.copy_(torch.eye(2)[..., None, None])
        attention.query.weight.zero_()
        attention.gain.fill_(1.0)
    return attention


def constant(*levels: float) -> torch.Tensor:
    """(1, F, 2, 1, 1): one level per frame."""
    return torch.tensor(levels).reshape(1, -1, 1, 1, 1).expand(-1, -1, 2, -1, -1).clone()


def test_a_frame_gets_the_mean_of_the_frames_it_sees():
    past, now = constant(1.0, 5.0), constant(10.0, 20.0)
    found = identity_attention()(now, past, torch.tensor([2]))
    assert found[0, :, 0, 0, 0].tolist() == pytest.approx([10 + 3, 20 + 7.5])  # of 1 and 5, of 5 and 10


def test_frames_before_the_clip_are_ignored():
    past, now = constant(1000.0, 5.0), constant(10.0, 20.0)
    attention = identity_attention()
    assert attention(now, past, torch.tensor([1]))[0, :, 0, 0, 0].tolist() == pytest.approx([10 + 5, 20 + 7.5])
    assert attention(now, past, torch.tensor([0]))[0, :, 0, 0, 0].tolist() == pytest.approx([10, 20 + 10])


def test_the_bias_selects_age_and_position():
    attention = identity_attention()
    past = torch.arange(8.0).reshape(1, 2, 1, 2, 2).expand(-1, -1, 2, -1, -1)
    with torch.no_grad():
        attention.place[0, 0, 3, 4] = 50.0  # the frame before the last, one place to the right
    found = attention(torch.zeros(1, 1, 2, 2, 2), past, torch.tensor([2]))[0, 0, 0]
    assert found[:, 0].tolist() == pytest.approx([1, 3])  # nothing is right of the right column
    assert found[0, 1].item() == pytest.approx(3.5)


def test_the_age_is_a_key():
    attention = identity_attention()
    with torch.no_grad():
        attention.query.weight.copy_(torch.eye(2)[..., None, None])
        attention.age.zero_()
        attention.age[1] = 100.0  # the latest frame
    found = attention(constant(10.0), constant(1.0, 5.0), torch.tensor([2]))
    assert found[0, 0, 0].item() == pytest.approx(15)


def test_a_new_module_attends_to_the_same_position_of_the_last_frame():
    """With a gain of 1: mostly the normalised features of the last frame, and none of the present one."""
    attention = TemporalAttention(4, 2, 2)
    torch.nn.init.ones_(attention.gain)
    past = torch.zeros(1, 2, 4, 4, 4)
    past[0, 1, :2, 1, 2], past[0, 1, 2:, 1, 2] = 1, -1  # one place of the last frame; its norm over channels is 1
    with torch.no_grad():
        found = attention(torch.zeros(1, 1, 4, 4, 4), past, torch.tensor([2]))[0, 0]
    assert found.abs().amax(0).flatten().argmax() == 4 * 1 + 2
    assert found[:2].min() >= 0
    assert found[2:].max() <= 0


def test_with_same_place_other_places_are_as_if_their_bias_forbade_them():
    torch.manual_seed(0)
    everywhere, here = TemporalAttention(4, 3, 2), TemporalAttention(4, 3, 2, same_place=True)
    torch.nn.init.normal_(everywhere.gain)
    torch.nn.init.normal_(here.place)
    with torch.no_grad():
        everywhere.place.fill_(-1e4)
        everywhere.place[..., 3:4, 3:4] = here.place
    here.load_state_dict({**everywhere.state_dict(), "place": here.place})
    now, past, frames = torch.randn(2, 4, 4, 2, 3), torch.randn(2, 3, 4, 2, 3), torch.tensor([1, 3])
    with torch.no_grad():
        torch.testing.assert_close(here(now, past, frames), everywhere(now, past, frames))


def test_same_place_by_hand():
    """The mean of what the place held, and of the frames that were seen."""
    past = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, :, None, None].expand(1, 2, 2, 1, 2)
    attention = identity_attention(same_place=True)
    for frames, expected in ((2, [2, 3]), (1, [3, 4]), (0, [0, 0])):
        found = attention(torch.zeros(1, 1, 2, 1, 2), past, torch.tensor([frames]))
        assert found[0, 0, 0, 0].tolist() == pytest.approx(expected)


def test_same_place_without_a_past_is_finite_in_half_precision():
    attention = TemporalAttention(4, 3, 2, same_place=True).half()
    torch.nn.init.ones_(attention.gain)
    torch.nn.init.constant_(attention.place, -40.0)
    now = torch.randn(1, 1, 4, 2, 2).half()
    with torch.no_grad():
        assert torch.equal(attention(now, torch.zeros(1, 3, 4, 2, 2).half(), torch.tensor([0])), now)


def test_gradients_of_same_place():
    torch.manual_seed(0)
    shapes = (2, 3, 2, 2, 3), (2, 7, 2, 2, 3), (2, 7, 2, 2, 3), (2, 3, 2, 4, 3)  # query, key, value, bias
    assert torch.autograd.gradcheck(_SamePlace.apply, [torch.randn(one).double().requires_grad_() for one in shapes])


def test_same_place_in_bf16():
    torch.manual_seed(0)
    attention = TemporalAttention(4, 3, 2, same_place=True)
    torch.nn.init.normal_(attention.gain)
    now, past, frames, found = torch.randn(1, 2, 4, 2, 2), torch.randn(1, 3, 4, 2, 2), torch.tensor([2]), []
    for low in (False, True):
        leaf = now.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            attention(leaf, past, frames).square().sum().backward()
        found.append(leaf.grad)
    exact, rounded = found
    assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="8 channels and 3 heads"):
        TemporalAttention(8, 2, 3)


# ------------------------------------------------------------------------------------------ the network
@both
def test_a_new_module_changes_nothing(architecture):
    over_time, plain, images = network(architecture), network(PLAIN), clip()
    for one, other in zip(over_time(images), plain(images), strict=True):
        assert torch.equal(one, other)


@both
def test_an_empty_history_gives_the_result_for_single_images(architecture):
    over_time, plain, images = network(architecture, trained=True), network(PLAIN), clip()[:, 0]
    assert torch.equal(over_time(images)[-1], plain(images)[-1])
    assert torch.equal(over_time.stream(images, over_time.empty_history(images))[0][-1], plain(images)[-1])


def test_without_history_there_is_no_attention():
    none = network(replace(OVER_TIME, attention_history_length=0))
    images = clip()
    assert torch.equal(none(images)[-1], network(PLAIN)(images)[-1])
    assert not any(key.startswith("attention") for key in none.state_dict())
    assert torch.equal(streamed(none, images)[0], none(images)[-1])


@settings(max_examples=5)
@given(frames=st.integers(1, 8), levels=st.sampled_from([1, 3, 5]))
def test_streaming_gives_what_the_whole_clip_gives(frames, levels):
    model, images = network(replace(OVER_TIME, attention_levels=levels), trained=True), clip(frames)
    with torch.no_grad():
        found, history = streamed(model, images)
        whole = model(images)[-1]
    assert (found - whole).abs().max() < 1e-5
    places = {1: 1, 3: 1 + 4 + 16, 5: 1 + 4 + 16 + 64 + 256}[levels]
    assert history.memory.shape == (2, 2, LENGTH, 2 * 8, places)  # however long the clip
    assert history.frames.tolist() == [min(frames, LENGTH)] * 2


def test_the_past_matters_and_the_future_does_not():
    model, images = network(trained=True), clip()
    other = images.clone()
    other[:, 2] += 1
    with torch.no_grad():
        changed = (model(images)[-1] - model(other)[-1]).abs().amax((0, 2, 3, 4)) > 1e-6
    assert changed.tolist() == [False, False, True, True, True, True]


def test_each_person_has_a_history():
    model, images = network(trained=True), clip(4)
    with torch.no_grad():
        _, history = streamed(model, images[:, :3])
        both = model.stream(images[:, 3], history)[0][-1]
        second = model.stream(images[1:, 3], history.rows(torch.tensor([1])))[0][-1]
    assert torch.allclose(both[1:], second, atol=1e-6)


@both
def test_every_parameter_gets_a_gradient(architecture):
    model = network(architecture, trained=True).train()
    sum(maps.square().sum() for maps in model(clip(4))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Batch norm cancels the bias before it, and softmax that of the keys.
        assert parameter.grad.any() or name.endswith("bias"), name


def test_a_new_module_can_learn():
    """Its gain is 0, which stops the gradients of all its other parameters, but not that of the gain."""
    model = network().train()
    model(clip(4))[-1].square().sum().backward()
    assert all(attention.gain.grad.any() for attention in model.attention)


def test_visibility_of_clips():
    model, images = network(replace(OVER_TIME, predict_joint_visibility=True)), clip()
    heatmaps, logits = model(images, True)
    assert heatmaps[-1].shape == (2, 6, 4, 16, 16)
    assert logits.shape == (2, 6, 4)


# ------------------------------------------------------------------------------------------ its weights
@both
def test_the_architecture_is_read_from_the_weights(architecture):
    assert infer_architecture(network(architecture).state_dict()) == architecture


def test_weights_of_single_images_load():
    model, plain = network(trained=True), network(PLAIN)
    load_state(model, plain.state_dict(), "plain.pth.tar")
    assert torch.equal(model(clip()[:, 0])[-1], plain(clip()[:, 0])[-1])


def test_an_incomplete_attention_is_refused():
    state = {key: value for key, value in network().state_dict().items() if key != "attention.1.gain"}
    with pytest.raises(UserError, match=r"half.pth.tar.*attention.1.gain"):
        load_state(network(), state, "half.pth.tar")

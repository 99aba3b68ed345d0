"""The loss in place of the LM head equals that of the model's own logits."""

import copy

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from test_architectures import KINDS
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from toys import VOCABULARY, make_model

from polycal.tuning.head_loss import HeadLoss
from polycal.tuning.loss import Losses, cross_entropies

# More that the loss must know: a scale, a bias, shared rows; and what it need not know.
MORE = {
    "cohere": {"logit_scale": 0.25, "eos_token_id": 1},
    "granite": {"logits_scaling": 4.0},
    "phi": {"pad_token_id": None},
    "gemma2": {"final_logit_softcapping": 3.0, "tie_word_embeddings": True},
}
CASES = [*KINDS.items(), *MORE.items()]
ENDS = {"bos_token_id": 0, "eos_token_id": 1}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_batch() -> tuple[dict, torch.Tensor, torch.Tensor]:
    """Two padded rows, the positions that are trained on, and their targets."""
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCABULARY, (2, 20), generator=chance)
    mask = torch.ones_like(tokens)
    mask[1, 12:] = 0
    kept = torch.tensor([3, 4, 9, 17, 20, 25, 30])
    targets = torch.randint(VOCABULARY, (len(kept),), generator=chance)
    return {"input_ids": tokens, "attention_mask": mask}, kept, targets


def lose_in_place(model, *, smoothing=0.3, loss: HeadLoss | None = None) -> Losses:
    loss = loss or HeadLoss(smoothing)
    return loss.sum(model, model, *make_batch())


def lose_on_logits(model, *, smoothing=0.3) -> Losses:
    inputs, kept, targets = make_batch()
    logits = model(**inputs, use_cache=False).logits.flatten(0, 1)[kept]
    return cross_entropies(logits, targets, smoothing=smoothing)


def check_equal(model) -> None:
    """Values, and the gradients of all that is trained."""
    other = copy.deepcopy(model)
    found, expected = lose_in_place(model), lose_on_logits(other)
    torch.testing.assert_close(found, expected)
    assert not found.plain.requires_grad
    found.smoothed.backward()
    expected.smoothed.backward()
    theirs = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            torch.testing.assert_close(
                weight.grad, theirs[name].grad, rtol=1e-4, atol=1e-5
            )
        else:
            assert weight.grad is None, name


def note_outputs(model) -> list[int]:
    """A list that grows by the sizes of what the head gives back."""
    sizes: list[int] = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda *given: sizes.append(given[-1].numel()))
    return sizes


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_a_step_s_gradients_are_those_of_full_logits(kind, settings, caplog):
    """For every architecture, and no logits but of the one token at the beginning."""
    model = make_model(kind, **settings)
    assert (model.lm_head.bias is not None) == (kind == "phi")
    sizes = note_outputs(model)
    check_equal(model.train())
    assert sizes[:2] == [VOCABULARY, 1]
    assert model.training
    assert not caplog.records


@pytest.mark.parametrize("kind", ["llama", "gemma2", "cohere"])
def test_an_adapter_s_gradients_are_those_of_full_logits(kind, caplog):
    """The frozen base model gets none."""
    adapter = LoraConfig(
        r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_alpha=64
    )
    check_equal(get_peft_model(make_model(kind, **ENDS), adapter).train())
    assert not caplog.records


def test_an_adapter_on_the_head_keeps_its_own_logits(caplog):
    """It is no plain matrix product; the losses are right, and a line says it."""
    adapter = LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
    check_equal(get_peft_model(make_model(), adapter).train())
    assert "the LM head is not plain" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits + torch.arange(VOCABULARY) / 100,
        lambda logits: logits.log_softmax(-1) * 2,
        lambda logits: logits[..., :-1],
        lambda logits: torch.relu(logits),
    ],
)
def test_an_unknown_last_operation_is_left_to_the_model(change, caplog):
    """A bias outside the head, a norm, fewer rows, a kink: none is left out."""

    def forward(*given, **named):
        output = original(*given, **named)
        output.logits = change(output.logits)
        return output

    model = make_model()
    original, model.forward = model.forward, forward
    found = lose_in_place(model)
    assert "changes its logits" in caplog.text
    torch.testing.assert_close(found, lose_on_logits(model))
    found.smoothed.backward()


def test_half_a_head_is_left_to_the_model(caplog):
    """As when its rows are split over devices, and hooks put the logits together."""
    model = make_model()
    other, half = copy.deepcopy(model), VOCABULARY // 2
    weight = model.lm_head.weight.detach()
    model.lm_head.weight = torch.nn.Parameter(weight[:half])
    model.lm_head.register_forward_hook(
        lambda _, given, made: (
            torch.cat([made, given[0] @ weight[half:].t()], -1)
            if made.shape[-1] == half
            else None
        )
    )
    torch.testing.assert_close(lose_in_place(model), lose_on_logits(other))
    assert "kept in memory" in caplog.text


def test_the_first_pass_takes_no_random_numbers():
    """Dropout is the same in the first batch as if it had not been there."""
    model = make_model(attention_dropout=0.5).train()
    loss, found = HeadLoss(0.1), []
    for _ in range(2):
        torch.manual_seed(0)
        found.append(lose_in_place(model, loss=loss))
    assert torch.equal(found[0].smoothed, found[1].smoothed)
    assert not torch.equal(found[0].smoothed, lose_in_place(model, loss=loss).smoothed)


def test_the_loss_is_part_of_what_the_model_returns():
    """Wrappers (DDP, FSDP) prepare the backward pass there."""
    model, seen = make_model(), []

    def note(_, __, output) -> None:
        if output.logits.requires_grad:  # not that of the one token at the beginning
            output.logits.register_hook(lambda gradient: seen.append(gradient.shape))

    model.register_forward_hook(note)
    lose_in_place(model).smoothed.backward()
    assert seen == [(1, 1, 1)]


@pytest.fixture
def mesh():
    """All processes, which are one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("tied", [False, True])
def test_a_sharded_head_is_gathered_as_ever(tied, mesh):
    """FSDP holds shards, and gathers weights by hooks for the loss as for logits."""
    model = make_model(tie_word_embeddings=tied)
    other = copy.deepcopy(model)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(model.lm_head.weight, DTensor)
    loss = HeadLoss(0.3)
    for _ in range(2):  # the first pass looks at the model, too
        model.zero_grad()
        found = lose_in_place(model, loss=loss)
        found.smoothed.backward()
    expected = lose_on_logits(other)
    torch.testing.assert_close(found, expected)
    expected.smoothed.backward()
    theirs = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(
            weight.grad.full_tensor(), theirs[name].grad, rtol=1e-4, atol=1e-5
        )

import pytest
import torch
from torch.nn import functional as F

from topfive.layers import Embeddings, WithAuxiliary
from topfive.training.loss import loss_of, strangers, triplet_loss


def test_auxiliary_losses_count_by_their_weight_and_are_told_apart():
    torch.manual_seed(0)
    scores, first, second = torch.randn(3, 8, 5)
    labels = torch.arange(8) % 5
    loss = loss_of(WithAuxiliary(scores, (first, second), 0.3), labels, label_smoothing=0.1)
    own, one, two = (F.cross_entropy(x, labels, label_smoothing=0.1) for x in (scores, first, second))
    assert torch.allclose(loss.total, own + 0.3 * (one + two))
    assert torch.allclose(loss.own, own)
    assert torch.allclose(loss.auxiliary, one + two)
    assert loss.wrong == int((scores.argmax(1) != labels).sum())


def by_hand(codes, labels, margin=0.2):
    """Anchor by anchor, as sec. 3.1 and 3.2 say."""
    apart = [[float((a - b).square().sum()) for b in codes] for a in codes]
    terms = []
    for anchor, label in enumerate(labels):
        others = [apart[anchor][i] for i in range(len(codes)) if labels[i] != label]
        for positive in range(len(codes)):
            if positive == anchor or labels[positive] != label or not others:
                continue
            near = apart[anchor][positive]
            farther = [d for d in others if d > near]
            terms.append(max(0.0, near - (min(farther) if farther else max(others)) + margin))
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_triplets_are_the_papers(seed):
    torch.manual_seed(seed)
    codes, labels = F.normalize(torch.randn(12, 6)), torch.randint(0, 3, (12,))
    assert triplet_loss(codes, labels).item() == pytest.approx(by_hand(codes, labels.tolist()), abs=1e-5)


@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4]])
def test_a_batch_without_pairs_or_without_others_costs_nothing(labels):
    codes = F.normalize(torch.randn(3, 6)).requires_grad_()
    loss = triplet_loss(codes, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0
    assert codes.grad.abs().sum() == 0


def test_triplets_draw_a_class_together():
    torch.manual_seed(0)
    raw, labels = torch.randn(30, 8, requires_grad=True), torch.arange(30) % 3
    optimizer = torch.optim.SGD([raw], lr=5.0)
    before = strangers(F.normalize(raw).detach(), labels)
    for _ in range(60):
        loss = loss_of(Embeddings(F.normalize(raw)), labels)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert strangers(F.normalize(raw).detach(), labels) == loss.strangers == 0 < before
    assert loss.wrong is None  # codes answer nothing

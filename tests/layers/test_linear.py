import torch

from topfive.layers import FullPrecisionLinear


def test_autocast_changes_nothing_but_would_without_the_guard():
    torch.manual_seed(0)
    layer, features = FullPrecisionLinear(64, 10), torch.randn(8, 64)
    expected = layer(features)
    with torch.autocast("cpu", torch.bfloat16):
        guarded, plain = layer(features), torch.nn.functional.linear(features, layer.weight, layer.bias)
    assert guarded.dtype == torch.float32
    assert torch.equal(guarded, expected)
    assert not torch.equal(plain.float(), expected)


def test_half_features_give_float32_scores_and_gradients():
    layer, features = FullPrecisionLinear(4, 3, bias=False), torch.ones(2, 4, dtype=torch.bfloat16, requires_grad=True)
    scores = layer(features)
    scores.sum().backward()
    assert scores.dtype == torch.float32
    assert torch.allclose(scores[0], layer.weight.sum(1))
    assert features.grad is not None
    assert torch.allclose(features.grad[0].float(), layer.weight.sum(0), atol=1e-2)

"""A batch norm that follows a convolution becomes part of it: the same numbers, fewer passes over memory."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Changes a module that will not be trained any more, and returns it."""
    for block in module.modules():
        layers = list(block.named_children()) if isinstance(block, nn.Sequential) else []
        for (name, layer), (after, norm) in zip(layers, layers[1:], strict=False):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and not norm.training:
                setattr(block, name, fuse_conv_bn_eval(layer, norm))
                setattr(block, after, nn.Identity())
    return module

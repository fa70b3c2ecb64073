"""Parameters of the reference's PyTorch nets in the layout of ours: stacked over agents, padded, transposed."""

import numpy as np

LAYERS = {"fc1": "encode_0", "fc2": "encode_1", "fc3": "decode", "fc4": "utilities"}
GRU = {f"{kind}_{side}_l0": f"{kind}_{side}" for kind in ("weight", "bias") for side in ("ih", "hh")}


def padded(array, shape):
    """`array` with zeros after it in every axis."""
    return np.pad(array, [(0, size - have) for size, have in zip(shape, array.shape, strict=True)])


def recurrent_net(read, prefixes, gru="rnn"):
    """The nets read(prefix + "fc1.weight") etc. of a team, as `jaxmac.networks.agent` holds them."""
    nets = []
    for prefix in prefixes:
        net = {
            ours: {"kernel": read(f"{prefix}{theirs}.weight").T, "bias": read(f"{prefix}{theirs}.bias")}
            for theirs, ours in LAYERS.items()
        }
        net["memory"] = {ours: read(f"{prefix}{gru}.{theirs}").T for theirs, ours in GRU.items()}
        nets.append(net)
    return {"params": stacked(nets)}


def stacked(nets):
    """Leaf by leaf, padded to the largest and stacked."""
    first = nets[0]
    if isinstance(first, dict):
        return {key: stacked([net[key] for net in nets]) for key in first}
    shape = np.max([net.shape for net in nets], axis=0)
    return np.stack([padded(net, shape) for net in nets]).astype(np.float32)

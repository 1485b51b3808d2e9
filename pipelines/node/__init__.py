"""The node that Gadgetron starts by `<execute name="nilatron.pipelines.node" target="nila" type="python"/>`.

The targets are the functions of this package; any other one is answered with an error.

entry     the targets: each reconstructs one scan and ends the process; imports nothing that can fail
session   one scan: settings from the environment, loading the network while lines arrive, the exit code
watch     ends a node whose parent process or peer is gone
"""

from nilatron.pipelines.node.entry import __getattr__, cg_sense, l1_wavelet, nila, nila_published, zero_filled

__all__ = ["__getattr__", "cg_sense", "l1_wavelet", "nila", "nila_published", "zero_filled"]

"""What Gadgetron starts: `<execute name="nilatron.pipelines.node" target="nila" type="python"/>`; the targets are here.

entry     each target holds one conversation and ends the process; imports nothing that can fail
session   one scan: settings of the environment, the prior made warm, the exit code
watch     ends a node whose parent or peer is gone
"""

from nilatron.pipelines.node.entry import cg_sense, l1_wavelet, nila, nila_published, zero_filled

__all__ = ["cg_sense", "l1_wavelet", "nila", "nila_published", "zero_filled"]

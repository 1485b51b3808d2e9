"""
A chain of one's own
====================

A chain is an XML file. The same file runs under Gadgetron, in ``nilatron serve`` and here. This one has three stock gadgets in
front of the node, for which the embedded host has equivalents, and other properties than the shipped chain.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

import nilatron
from nilatron.pipelines.chain.checks import chain_problems
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

XML = """<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <version>2</version>
  <readers>
    <reader><dll>gadgetron_mricore</dll><classname>GadgetIsmrmrdAcquisitionMessageReader</classname></reader>
    <reader><dll>gadgetron_mricore</dll><classname>GadgetIsmrmrdWaveformMessageReader</classname></reader>
  </readers>
  <writers>
    <writer><dll>gadgetron_core_writers</dll><classname>ImageWriter</classname></writer>
  </writers>
  <stream>
    <gadget><dll>gadgetron_mricore</dll><classname>NoiseAdjustGadget</classname></gadget>
    <gadget><dll>gadgetron_mricore</dll><classname>AsymmetricEchoAdjustROGadget</classname></gadget>
    <gadget><dll>gadgetron_mricore</dll><classname>RemoveROOversamplingGadget</classname></gadget>
    <external>
      <execute name="nilatron.pipelines.node" target="nila" type="python"/>
      <configuration>
        <property name="series" value="nila"/>
        <property name="steps" value="4"/>
        <property name="pixel_type" value="uint16"/>
        <property name="image_scale" value="20"/>
      </configuration>
    </external>
  </stream>
</configuration>
"""

folder = Path(mkdtemp())
(folder / "fast.xml").write_text(XML)
simulate(
    folder / "scan.h5",
    SimulationSettings(matrix=(96, 96, 1), n_coils=8, n_slices=2, acceleration=3),
)

# %%
# Gadgetron itself sees neither a wrong target nor a wrong property. ``nilatron configs check fast.xml`` does, and so does this:

print("problems:", [str(problem) for problem in chain_problems(XML.encode(), "fast")])
wrong = XML.replace('name="steps"', 'name="stepps"')
print("with an error in it:", *map(str, chain_problems(wrong.encode(), "fast")))

# %%
# Two slices, 16-bit pixels; times RescaleSlope they are in SNR units.

images = nilatron.replay(folder / "scan.h5", folder / "fast.xml", weights="tiny")
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3), layout="constrained")
for axis, one in zip(axes, images.of(), strict=True):
    shown = axis.imshow(one.pixels[0] * float(one.metadata["RescaleSlope"]), cmap="gray")
    axis.set_title(f"slice {one.header.slice}, {one.pixels.dtype}")
    axis.axis("off")
    figure.colorbar(shown, shrink=0.8)

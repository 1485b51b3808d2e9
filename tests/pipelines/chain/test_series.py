import pytest

from nilatron.pipelines.chain.find import find_chain
from nilatron.pipelines.chain.series import series_per_slice
from nilatron.pipelines.chain.xml import parse_chain

NILA = find_chain("nila").xml.decode()


@pytest.mark.parametrize(
    ("xml", "n_images"),
    [
        (NILA, 2),
        (NILA.replace('name="series" value="', 'name="series" value="uncertainty,'), 3),
        (NILA.replace('<property name="series" value="conventional,nila"/>', ""), 2),
        (find_chain("cg_sense").xml, 1),
        (NILA.replace("nilatron.pipelines.node", "site.node"), 1),
    ],
)
def test_the_series_of_our_node_are_counted(xml, n_images):
    assert series_per_slice(parse_chain(xml)) == n_images

import pytest

from nilatron.pipelines.server.opening import chain_by_name, node_chain, with_properties
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.site_settings import with_site_settings


def with_site(properties, **settings):
    chain = with_properties(node_chain(b"<configuration/>"), {}, properties)
    chain, told = with_site_settings(chain, ServeSettings(**settings))
    return chain.stream[0].properties, told


@pytest.mark.parametrize("name", ["slice_budget_s", "scan_budget_s"])
@pytest.mark.parametrize(
    ("own", "taken"), [(None, "5"), ("0", "5"), (" 0.0 ", "5"), ("2", "2"), ("5", "5"), ("1e9", "5"), ("5.1", "5")]
)
def test_a_budget_of_the_site_is_the_most_that_a_peer_gets(name, own, taken):
    properties, _ = with_site({} if own is None else {name: own}, **{name: 5.0})
    assert properties == {name: taken}


def test_what_was_lowered_is_told_and_what_was_open_is_not():
    assert with_site({"slice_budget_s": "1e9"}, slice_budget_s=5.0)[1] == [
        "slice_budget_s 1e+09 is lowered to 5, the most that this site allows"
    ]
    assert with_site({"slice_budget_s": "0"}, slice_budget_s=5.0)[1] == []


def test_without_a_limit_of_the_site_and_for_what_is_no_number_all_stays():
    assert with_site({"slice_budget_s": "1e9"}) == ({"slice_budget_s": "1e9"}, [])
    assert with_site({"slice_budget_s": "soon"}, slice_budget_s=5.0) == ({"slice_budget_s": "soon"}, [])


@pytest.mark.parametrize("settings", [{"slice_budget_s": 5.0}, {"engine": "tensorrt"}])
def test_targets_that_do_not_know_them_stay(settings):
    chain = chain_by_name("cg_sense")
    assert with_site_settings(chain, ServeSettings(**settings)) == (chain, [])


def test_the_engine_goes_to_chains_that_leave_it_open():
    assert with_site({}, engine="tensorrt")[0]["engine"] == "tensorrt"
    assert with_site({"engine": "torch"}, engine="tensorrt")[0]["engine"] == "torch"

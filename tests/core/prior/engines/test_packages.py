import pytest

from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines import packages
from nilatron.core.prior.engines.packages import EXTRAS, EngineError, import_package, is_installed


def test_what_is_installed_is_imported():
    assert import_package("json").loads("1") == 1
    assert is_installed("json")


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_package", "export")
    assert not is_installed("no_such_package")
    with pytest.raises(EngineError, match=r"no_such_package is not installed: pip install 'nilatron\[export\]'"):
        import_package("no_such_package")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ModuleNotFoundError("No module named 'numpie'", name="numpie"), "incomplete"),
        (ImportError("libnvinfer.so.10: cannot open shared object file"), "cannot be loaded .libnvinfer"),
        (OSError("libcudart.so.12: no such file"), "cannot be loaded"),
    ],
)
def test_a_broken_package_is_an_error_of_the_engine(monkeypatch, raised, message):
    def broken(_):
        raise raised

    monkeypatch.setattr(packages.importlib, "import_module", broken)
    with pytest.raises(EngineError, match=message):
        import_package("tensorrt")
    assert issubclass(EngineError, BadInputError)

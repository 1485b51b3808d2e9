import ismrmrd.hdf5
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.heads import COUNTERS, LINE, WAVEFORM, HeadReader

WIRE = ismrmrd.hdf5.acquisition_header_dtype


@pytest.fixture
def heads():
    """Three heads with another value in every field."""
    made = np.zeros(3, WIRE)
    for number, name in enumerate(WIRE.names):
        if name != "idx":
            made[name] = (np.arange(made[name].size).reshape(made[name].shape) + 10 * number) % 200
    for number, name in enumerate(WIRE["idx"].names):
        made["idx"][name] = (np.arange(made["idx"][name].size) + number).reshape(made["idx"][name].shape)
    return made


@pytest.fixture
def stored_as(heads, copy_fields):
    """The heads in another layout."""

    def store(dtype):
        stored = np.zeros(len(heads), dtype)
        copy_fields(heads, stored)
        return stored

    return store


def read(stored):
    return HeadReader(stored.dtype, LINE)(stored, 100)


SAME = {
    "as on the wire": lambda _: WIRE,
    "padded": lambda _: np.dtype(WIRE.descr, align=True),
    "in another order": lambda _: np.dtype([(name, WIRE[name]) for name in reversed(WIRE.names)]),
    "big-endian": lambda _: WIRE.newbyteorder(">"),
    "with more fields": lambda _: np.dtype([("phase_of_moon", "f8", (3,)), *((n, WIRE[n]) for n in WIRE.names)]),
    "signed": lambda fields: fields(WIRE, flags="i8", number_of_samples="i2", channel_mask=("i8", 16)),
    "wide": lambda fields: fields(WIRE, number_of_samples="u4", active_channels="i8", user_int=("i8", 8)),
    "narrow": lambda fields: fields(WIRE, version="u1", active_channels="u1"),
    "all doubles": lambda fields: fields(WIRE, number_of_samples="f8", position=("f8", 3), sample_time_us="f8"),
    "counters as doubles": lambda fields: fields(WIRE, idx=fields(WIRE["idx"], **dict.fromkeys(COUNTERS, "f8"))),
}


@pytest.mark.parametrize("layout", SAME)
def test_layouts_that_lose_nothing(heads, stored_as, fields, layout):
    """MagneticResonanceImaging/MRIReco.jl#25 and #167 (padding), #68 (16-bit signed samples)."""
    stored = stored_as(SAME[layout](fields))
    assert HeadReader(stored.dtype, LINE).notes == []
    assert read(stored).tobytes() == heads.tobytes()


UNUSED = {  # ISMRMRD had ISMRMRD_PHYS_STAMPS 8 until 2014, "this should be changed to 3 (major impact)"
    "8 physiology_time_stamp": ({"physiology_time_stamp": ("u4", 8)}, "physiology_time_stamp has 8 values, not 3"),
    "1 physiology_time_stamp": ({"physiology_time_stamp": "u4"}, "physiology_time_stamp has 1 values, not 3"),
    "32 words of channel_mask": ({"channel_mask": ("u8", 32)}, "channel_mask has 32 values, not 16"),
    "4 words of channel_mask": ({"channel_mask": ("u8", 4)}, "channel_mask has 4 values, not 16"),
    "16 user_int": ({"user_int": ("i4", 16)}, "user_int has 16 values, not 8"),
    "4 user_float": ({"user_float": ("f8", 4)}, "user_float has 4 values, not 8"),
    "no table position": ({"patient_table_position": None}, "no patient_table_position"),
    "version as text": ({"version": "S8"}, r"version holds no numbers but |S8"),
}


@pytest.mark.parametrize("layout", UNUSED)
def test_what_nothing_uses_is_cut_or_padded_and_told(heads, stored_as, fields, layout):
    changes, note = UNUSED[layout]
    stored = stored_as(fields(WIRE, **changes))
    assert HeadReader(stored.dtype, LINE).notes == [note]
    found, (name,) = read(stored), changes
    expected, n = heads.copy(), HeadReader(stored.dtype, LINE)
    (column,) = (column for column in n.columns if column.name == name)
    expected[name].reshape(3, -1)[:, column.n_stored if column.is_numbers else 0 :] = 0
    if column.n_wanted == 1:
        expected[name] = 0
    assert found.tobytes() == expected.tobytes()


def test_fields_that_are_not_there_get_what_they_mean(heads, stored_as, fields):
    absent = ("center_sample", "available_channels", "discard_pre", "trajectory_dimensions", "position")
    stored = stored_as(fields(WIRE, **dict.fromkeys(absent)))
    assert HeadReader(stored.dtype, LINE).notes == [f"no {', '.join(n for n in WIRE.names if n in absent)}"]
    found = read(stored)
    assert np.array_equal(found["center_sample"], heads["number_of_samples"] // 2)
    assert np.array_equal(found["available_channels"], heads["active_channels"])
    assert not found["discard_pre"].any()
    assert not found["position"].any()


@pytest.mark.parametrize("name", ["flags", "number_of_samples", "active_channels"])
def test_a_field_that_is_needed(fields, name):
    with pytest.raises(InputError, match=f"^the heads lack {name}$"):
        HeadReader(fields(WIRE, **{name: None}), LINE)


def test_counters_are_needed(fields):
    with pytest.raises(InputError, match=r"lack idx\.slice, idx\.set$"):
        HeadReader(fields(WIRE, idx=fields(WIRE["idx"], slice=None, set=None, segment=None, user=None)), LINE)
    with pytest.raises(InputError, match=r"lack idx\.kspace_encode_step_1, .*idx\.set$"):
        HeadReader(fields(WIRE, idx=None), LINE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position": ("f4", 4)}, "position in the heads has 4 values, not 3"),
        ({"read_dir": ("f4", 2)}, "read_dir in the heads has 2 values, not 3"),
        ({"center_sample": ("u2", 2)}, "center_sample in the heads has 2 values, not 1"),
        ({"sample_time_us": "S8"}, r"sample_time_us in the heads holds no numbers but \|S8"),
    ],
)
def test_used_fields_of_another_kind_are_refused_by_name(fields, changes, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        HeadReader(fields(WIRE, **changes), LINE)


@pytest.mark.parametrize("stored", ["V340", "u1"])
def test_heads_without_fields(stored):
    with pytest.raises(InputError, match="expected a compound of named fields"):
        HeadReader(np.dtype(stored), LINE)


@pytest.mark.parametrize(
    ("kind", "value", "shown"), [("i4", -1, "-1"), ("u4", 70000, "70000"), ("f8", 63.5, "63.5"), ("f8", np.nan, "nan")]
)
def test_a_used_value_that_does_not_fit_names_line_and_field(stored_as, fields, kind, value, shown):
    stored = stored_as(fields(WIRE, number_of_samples=kind))
    stored["number_of_samples"][1] = value
    with pytest.raises(InputError, match=f"^line 101: number_of_samples is {shown}, expected .* 0 to 65535$"):
        read(stored)


def test_an_unused_value_that_does_not_fit_is_zero(heads, stored_as, fields):
    stored = stored_as(fields(WIRE, measurement_uid="i8"))
    stored["measurement_uid"][1] = -1
    heads["measurement_uid"][1] = 0
    assert read(stored).tobytes() == heads.tobytes()


def test_the_highest_flag_survives_a_signed_integer(stored_as, fields):
    stored = stored_as(fields(WIRE, flags="i8"))
    stored["flags"][2] = -(2**63)
    assert read(stored)["flags"][2] == 2**63


def test_heads_of_waveforms(fields):
    stored = np.zeros(2, fields(ismrmrd.hdf5.waveform_header_dtype, channels="i4", waveform_id=None))
    stored["channels"], stored["time_stamp"] = 3, (5, 6)
    found = HeadReader(stored.dtype, WAVEFORM)(stored)
    assert found.dtype == ismrmrd.hdf5.waveform_header_dtype
    assert found["channels"].tolist() == [3, 3]
    assert found["time_stamp"].tolist() == [5, 6]
